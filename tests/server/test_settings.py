"""Settings: the token, and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from server.auth import bearer
from server.settings import Settings
from server.startup import CannotStart, open_service, read_settings
from sm3.remote.settings import ClientSettings, unknown_variables


def test_the_token_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    first = Settings(data_dir=tmp_path / "d").admin_token()
    assert Settings(data_dir=tmp_path / "d").admin_token() == first
    assert stat.S_IMODE((tmp_path / "d" / "token").stat().st_mode) == 0o600
    assert len(first) > 40


def test_a_token_file_that_a_full_disk_left_empty_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    token = Settings(data_dir=tmp_path).admin_token()
    assert len(token) > 40
    assert (tmp_path / "token").read_text().strip() == token


def test_a_store_of_a_newer_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    opened = open_service(settings)
    with opened.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    opened.database.close()
    with pytest.raises(CannotStart, match=r"written by a newer version.*9999"):
        open_service(settings)


def test_listening_beyond_loopback_without_a_token_is_refused() -> None:
    with pytest.raises(ValidationError, match="without a token the service listens on loopback only"):
        Settings(host="0.0.0.0", auth=False)
    assert Settings(host="127.0.0.1", auth=False).is_loopback
    assert not Settings(host="0.0.0.0").is_loopback


def test_metrics_without_a_token_are_refused_beyond_loopback() -> None:
    with pytest.raises(ValidationError, match="without a token /metrics is answered on loopback only"):
        Settings(host="0.0.0.0", metrics_open=True)
    assert Settings(host="::1", metrics_open=True).metrics_open


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SM3_PROT", "SM3_PORT"),
        ("SM3_ULR", "SM3_URL"),
        ("SM3_DATADIR", "SM3_DATA_DIR"),
        ("sm3_prot", "SM3_PORT"),
        ("SM3_SLOT", "SM3_SLOTS"),
        ("SM3_XYZZY_PLUGH", ""),
    ],
)
def test_a_variable_that_sets_nothing_is_told_with_the_nearest_name(name: str, nearest: str) -> None:
    (found,) = unknown_variables(environment={name: "1", "SM3_URL": "x", "sm3_port": "1", "SM4_X": "1"})
    assert (found.name, found.nearest) == (name, nearest)
    assert name in str(found)
    assert (f"Is {nearest} meant?" in str(found)) == bool(nearest)


def test_what_can_be_set_is_not_unknown() -> None:
    everything = {
        "SM3_" + name.upper(): "" for name in (*Settings.model_fields, *ClientSettings.model_fields)
    }
    assert unknown_variables(environment=everything) == ()


@pytest.mark.parametrize("token", ["admin", "a" * 64, "abcabcabc" * 10])
def test_a_poor_token_is_refused_beyond_loopback_and_never_repeated(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings(host="127.0.0.1", token=token).token == token
    with pytest.raises(ValidationError, match="needs at least 32, 10 of them different"):
        Settings(host="0.0.0.0", token=token)
    monkeypatch.setenv("SM3_TOKEN", token)
    monkeypatch.setenv("SM3_HOST", "0.0.0.0")
    with pytest.raises(CannotStart) as refused:
        read_settings()
    assert token not in str(refused.value).replace("admin token", "")
    assert "openssl rand -base64 32" in str(refused.value)


def test_a_token_that_no_header_can_carry_is_refused() -> None:
    for token in ("with space", "naïve", "line\nbreak"):
        with pytest.raises(ValidationError, match="printable ASCII"):
            Settings(token=token)


def test_settings_show_no_secret() -> None:
    shown = repr(Settings(token="t0ps3cret", database_url="postgresql://u:t0ps3cret@h/d"))
    assert "t0ps3cret" not in shown
    assert "t0ps3cret" not in repr(ClientSettings(token="t0ps3cret"))


@pytest.mark.parametrize(
    "origin", ["*", "scope.example.org", "https://scope.example.org/path", "https://a b"]
)
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="origins such as"):
        Settings(cors_origins=(origin,))
    assert Settings(cors_origins=("https://scope.example.org:8443",)).cors_origins


def test_a_proxy_is_named_by_its_address() -> None:
    with pytest.raises(ValidationError, match="does not appear to be an IPv4 or IPv6"):
        Settings(trusted_proxies=("proxy",))
    assert Settings(trusted_proxies=("10.0.0.0/8", "::1")).trusted_proxies


@pytest.mark.parametrize(
    ("header", "token"), [(None, ""), ("Bearer x", "x"), ("bearer  x ", "x"), ("Basic x", "")]
)
def test_only_bearer_tokens_are_read(header: str | None, token: str) -> None:
    assert bearer(header) == token

"""Settings: the token, and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from server.auth import bearer
from server.settings import Settings
from server.startup import CannotStart, read_settings
from sm3.remote.settings import ClientSettings


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


def test_listening_beyond_loopback_without_a_token_is_refused() -> None:
    with pytest.raises(ValidationError, match="without a token the service listens on loopback only"):
        Settings(host="0.0.0.0", auth=False)
    assert Settings(host="127.0.0.1", auth=False).is_loopback
    assert not Settings(host="0.0.0.0").is_loopback


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

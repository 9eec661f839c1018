"""Settings: the token, and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from server.auth import Tickets, bearer
from server.settings import Settings
from server.startup import CannotStart, open_service
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


def test_a_ticket_opens_one_door_once_within_a_minute() -> None:
    now = [0.0]
    tickets = Tickets(now=lambda: now[0])
    ticket = tickets.issue("a")
    assert not tickets.redeem(ticket, "b")
    assert not tickets.redeem(ticket, "a"), "a ticket tried at the wrong door is spent"
    ticket = tickets.issue("a")
    assert tickets.redeem(ticket, "a")
    assert not tickets.redeem(ticket, "a")
    ticket = tickets.issue("a")
    now[0] = 61.0
    assert not tickets.redeem(ticket, "a")


@pytest.mark.parametrize(
    ("header", "token"), [(None, ""), ("Bearer x", "x"), ("bearer  x ", "x"), ("Basic x", "")]
)
def test_only_bearer_tokens_are_read(header: str | None, token: str) -> None:
    assert bearer(header) == token

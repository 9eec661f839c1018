"""The log's lines: one an event, no secrets, two formats."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from server.operation import logs
from server.operation.logs import Redactor
from server.settings import Settings

TOKEN = "sm3_" + "a1B2-" * 9
INGEST = "sm3i_" + "a1B2_" * 9


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("uvicorn.access", "alembic", "httpx")}
    yield
    root.handlers[:], root.level = handlers, level
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def configured(tmp_path: Path, **settings: object) -> io.StringIO:
    out = io.StringIO()
    logs.configure(Settings(data_dir=tmp_path, **settings), stream=out)
    return out


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"token {TOKEN} given", "token [hidden] given"),
        (f"{INGEST}", "[hidden]"),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer [hidden]"),
        ("bearer abc", "bearer [hidden]"),
        ("WebSocket /v1/jobs/x/live?ticket=abc_-1&y=2", "WebSocket /v1/jobs/x/live?ticket=[hidden]&y=2"),
        ("postgresql://sm3:hunter2@db/x", "postgresql://sm3:[hidden]@db/x"),
        ("my-own-token is long", "[hidden] is long"),
        ("http://localhost:8000/v1 sm3_jobs", "http://localhost:8000/v1 sm3_jobs"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(said: str, kept: str) -> None:
    redactor = Redactor(["my-own-token", ""])
    assert redactor.clean(said) == kept
    event = redactor(None, "info", {"event": said, "deep": {"x": [said]}, "n": 1, "none": None})
    assert event == {"event": kept, "deep": {"x": [kept]}, "n": 1, "none": None}


def test_our_events_and_the_librarys_are_one_json_object_a_line(tmp_path: Path) -> None:
    out = configured(tmp_path)
    structlog.contextvars.bind_contextvars(request_id="r-1")
    structlog.get_logger("ours").info("worker started", job="j", attempt=2, token=TOKEN)
    logging.getLogger("uvicorn.error").info("%s - accepted %s", "x", f"/live?ticket={TOKEN}")
    try:
        raise ValueError(f"two\nlines with {TOKEN}")
    except ValueError:
        structlog.get_logger("ours").exception("broken", at=tmp_path)
    structlog.contextvars.clear_contextvars()
    first, second, third = [json.loads(line) for line in out.getvalue().splitlines()]
    assert list(first)[:6] == ["time", "level", "event", "job", "attempt", "request_id"]
    assert (first["event"], first["level"], first["job"], first["attempt"]) == (
        "worker started",
        "info",
        "j",
        2,
    )
    assert second["event"] == "x - accepted /live?ticket=[hidden]"
    assert second["logger"] == "uvicorn.error"
    assert "Traceback" in third["exception"]
    assert third["at"] == str(tmp_path)
    assert TOKEN not in out.getvalue()


def test_a_password_and_a_token_from_the_settings_never_reach_the_log(tmp_path: Path) -> None:
    out = configured(tmp_path, token="correct-horse", database_url="postgresql+psycopg://u:battery@h/d")
    structlog.get_logger("ours").error("store", error="for u, battery is wrong; correct-horse too")
    assert "[hidden] is wrong; [hidden] too" in out.getvalue()


def test_people_get_columns_and_machines_json(tmp_path: Path) -> None:
    out = configured(tmp_path, log_format="console")
    structlog.get_logger("ours").info("worker started", job="j", token=TOKEN)
    assert "worker started" in out.getvalue()
    assert "job=j" in out.getvalue()
    assert TOKEN not in out.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(out.getvalue())
    assert json.loads(_logged_in_json(tmp_path))["event"] == "worker started"


def _logged_in_json(tmp_path: Path) -> str:
    out = configured(tmp_path, log_format="json")
    structlog.get_logger("others").info("worker started")
    return out.getvalue()


def test_what_is_below_the_level_is_not_logged(tmp_path: Path) -> None:
    out = configured(tmp_path, log_level="warning")
    structlog.get_logger("ours").info("quiet")
    logging.getLogger("uvicorn.error").info("quiet")
    structlog.get_logger("ours").warning("loud")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["loud"]

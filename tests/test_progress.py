"""Watching a job over connections that break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sm3 import progress
from sm3.remote.client import Event, Unreachable


class Breaking:
    """A service whose streams break after every event."""

    def __init__(self) -> None:
        self.story = [Event("frame", str(i), {"step": i}) for i in range(4)] + [Event("end", "4", {})]
        self.asked: list[str | None] = []

    def job(self, job_id: str) -> Any:
        return job_id

    def events(self, job_id: str, *, last_event_id: str | None) -> Iterator[Event]:
        del job_id
        self.asked.append(last_event_id)
        yield self.story[0 if last_event_id is None else int(last_event_id) + 1]
        raise Unreachable("http://nowhere", "the connection broke")


def test_every_event_comes_once_however_often_the_connection_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_REFRESH_S", 0.001)
    service = Breaking()
    seen = list(progress._resilient_events(service, "job"))  # type: ignore[arg-type]
    assert seen == service.story
    assert service.asked == [None, "0", "1", "2", "3"]

"""Watching a job over connections that break."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
import stamina

from sm3.remote.client import Event, ServiceError, Unreachable
from sm3.remote.events import read_events

STORY = [Event("frame", str(i), {"step": i}) for i in range(4)] + [Event("end", "3", {"final": True})]


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """No waiting between attempts."""
    with stamina.set_testing(True, attempts=100):
        yield


class Breaking(httpx.BaseTransport):
    """A service whose connections break after one event, which it sends twice; some do not come about at all."""

    def __init__(self, *, refusals: int = 0, status: int = 200) -> None:
        self.asked: list[str | None] = []
        self.refusals, self.status = refusals, status

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        seen = request.headers.get("Last-Event-ID")
        self.asked.append(seen)
        if self.refusals:
            self.refusals -= 1
            if self.status == 200:
                raise httpx.ConnectError("nobody is there")
            return httpx.Response(
                self.status, json={"type": "t", "title": "no", "status": self.status, "detail": ""}
            )
        event = STORY[0 if seen is None else int(seen) + 1]
        text = f"id: {event.id}\nevent: {event.name}\ndata: {json.dumps(event.data)}\n\n"
        return httpx.Response(
            200, headers={"Content-Type": "text/event-stream"}, text=": well\n\n" + 2 * text
        )


def read(service: Breaking, **options: float) -> list[Event]:
    with httpx.Client(transport=service, base_url="http://service") as http:
        return list(read_events(http, "/events", {}, None, **{"reconnect_s": 30.0, **options}))


def test_every_event_comes_once_however_often_the_connection_breaks() -> None:
    service = Breaking()
    assert read(service) == STORY
    assert service.asked == [None, "0", "1", "2", "3"]


@pytest.mark.parametrize("status", [200, 503])
def test_a_service_that_is_away_or_busy_is_asked_again(status: int) -> None:
    assert read(Breaking(refusals=3, status=status)) == STORY


def test_a_refusal_is_told_at_once() -> None:
    service = Breaking(refusals=99, status=404)
    with pytest.raises(ServiceError):
        read(service)
    assert len(service.asked) == 1


def test_a_service_that_stays_away_is_given_up() -> None:
    service = Breaking(refusals=99)
    with pytest.raises(Unreachable):
        read(service, reconnect_s=0.0)
    assert len(service.asked) == 1

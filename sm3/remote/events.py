"""A job's events, read over as many connections as it takes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import stamina
from httpx_sse import SSEError, connect_sse

from sm3.remote.errors import ServiceError, Unreachable, check

_SILENCE_S = 60.0  # the service sends a sign of life at least every 30 s
_WAIT_S = 2.0
_BUSY = 503


@dataclass(frozen=True)
class Event:
    """One event of a job: `name` is ``state``, ``frame``, ``gap`` or ``end``; `data` is its JSON."""

    name: str
    id: str
    data: dict[str, Any]


def read_events(
    http: httpx.Client,
    path: str,
    query: Mapping[str, Any],
    last_event_id: str | None,
    *,
    reconnect_s: float,
) -> Iterator[Event]:
    """Yields events until ``end``; a connection that breaks off is followed by another that goes on behind it.

    Args:
        http: connects and authenticates.
        path: where the events are.
        query: parameters of the stream.
        last_event_id: the newest event seen; None for all.
        reconnect_s: how long nothing may be heard before the breaking off is raised.

    Raises:
        Unreachable: nothing was heard for ``reconnect_s`` seconds.
        ServiceError: the service refused.
    """
    seen, heard_s = last_event_id, time.monotonic()

    def may_pass(error: Exception) -> bool:
        busy = isinstance(error, ServiceError) and error.problem.status == _BUSY
        return (busy or isinstance(error, Unreachable)) and time.monotonic() - heard_s < reconnect_s

    for attempt in stamina.retry_context(
        on=may_pass, attempts=None, timeout=None, wait_initial=0.1, wait_max=_WAIT_S, wait_jitter=0.2
    ):
        with attempt:
            for event in _read_once(http, path, query, seen):
                heard_s = time.monotonic()
                if event.id == seen and event.name in {"state", "frame"}:
                    continue
                seen = event.id
                yield event
                if event.name == "end":
                    return
            raise Unreachable(str(http.base_url), "the stream of events broke off")


def _read_once(http: httpx.Client, path: str, query: Mapping[str, Any], seen: str | None) -> Iterator[Event]:
    """Yields the events of one connection."""
    headers = {"Last-Event-ID": seen} if seen else {}
    timeout = httpx.Timeout(10.0, read=_SILENCE_S)
    try:
        with connect_sse(http, "GET", path, params=dict(query), headers=headers, timeout=timeout) as source:
            if source.response.is_error:
                source.response.read()
            check(source.response)
            for event in source.iter_sse():
                if event.data:  # a comment line: httpx-sse gives it as an event once an id was seen
                    yield Event(event.event, event.id, json.loads(event.data))
    except (httpx.TransportError, SSEError) as error:
        raise Unreachable(str(http.base_url), error) from error

"""Every request gets an id, a line in the log and a place in the metrics."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from server.operation.measures import Measures

REQUEST_ID = "X-Request-ID"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FRAME_ROUTE = "/v1/jobs/{job_id}/frames/{attempt}/{seq}"
_MAX_PROBLEM_BYTES = 64 * 1024
_LOG = structlog.get_logger("server.requests")


def request_id() -> str:
    """Returns the id of the request that is being answered, '' outside of one."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


class Observed:
    """ASGI middleware, the outermost: takes or makes the request's id, and tells log and metrics how it ended.

    The id is the client's ``X-Request-ID`` where that is 1 to 64 letters, digits, ``.``, ``_`` or ``-``; it is answered
    back in the same header, stands in problem documents and in every line logged on the request's behalf. Changes and
    refusals are logged from level info on, what was only read and frames that were taken at debug. Paths are logged
    without their query, which may hold a ticket.
    """

    def __init__(
        self, app: ASGIApp, measures: Measures, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.app = app
        self.measures = measures
        self.clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        # Not unbound afterwards: a request is a task of its own, and the answer to a bug is written outside of us.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            request_id=given if _WELL_FORMED.fullmatch(given) else str(uuid7())
        )
        seen = _Exchange(scope, receive, send)
        started_s = self.clock()
        try:
            await self.app(scope, seen.receive, seen.send)
        except BaseException as error:
            seen.status = seen.status or (500 if isinstance(error, Exception) else 499)
            raise
        finally:
            self._tell(seen, self.clock() - started_s)

    def _tell(self, seen: _Exchange, took_s: float) -> None:
        scope = seen.scope
        route = getattr(scope.get("route"), "path", "none")
        facts: dict[str, Any] = {"path": scope["path"], "status": seen.status, "took_s": round(took_s, 4)}
        parameters = scope.get("path_params") or {}
        facts |= {name: kind(parameters[key]) for key, (name, kind) in _NAMED.items() if key in parameters}
        if scope["type"] == "websocket":
            _LOG.info("websocket", **facts | {"route": route})
            return
        method = scope["method"] if scope["method"] in _METHODS else "other"
        status = seen.status or 499  # the client left before there was an answer
        self.measures.requests.labels(method, route, str(status)).inc()
        if not seen.is_stream:
            self.measures.latency.labels(method, route).observe(took_s)
        if (method, route) == ("PUT", _FRAME_ROUTE):
            self._count_frame(seen, status, took_s)
        if seen.problem:
            facts["problem"] = seen.problem
        quiet = status < 400 and (method in {"GET", "HEAD"} or route == _FRAME_ROUTE)
        level = "error" if status >= 500 else "debug" if quiet else "info"
        getattr(_LOG, level)("request", method=method, **facts | {"status": status})

    def _count_frame(self, seen: _Exchange, status: int, took_s: float) -> None:
        if status >= 300:
            self.measures.frames_refused.labels(seen.problem or str(status)).inc()
            return
        self.measures.ingest.observe(took_s)
        self.measures.frames.labels("new" if status == 201 else "repeat").inc()
        if status == 201:
            self.measures.frame_bytes.inc(seen.received_bytes)


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


_NAMED: dict[str, tuple[str, Callable[[str], object]]] = {
    "job_id": ("job", str),
    "attempt": ("attempt", _number),
    "comparison_id": ("comparison", str),
}


@dataclass
class _Exchange:
    """One request and its answer as they pass: status, kind, bytes received, the problem's slug."""

    scope: Scope
    inner_receive: Receive
    inner_send: Send
    status: int = 0
    is_stream: bool = False
    received_bytes: int = 0
    _is_problem: bool = False
    _body: bytearray = field(default_factory=bytearray)

    async def receive(self) -> Message:
        """Passes on what the client sends, counting its body."""
        message = await self.inner_receive()
        self.received_bytes += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Passes on what is answered, with the request's id."""
        kind = message["type"]
        if kind == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = request_id()
            self.status = message["status"]
            media_type = headers.get("content-type", "")
            self.is_stream = media_type.startswith("text/event-stream")
            self._is_problem = media_type.startswith("application/problem+json")
        elif kind == "http.response.body" and self._is_problem and len(self._body) < _MAX_PROBLEM_BYTES:
            self._body += message.get("body", b"")
        elif kind == "websocket.accept":
            self.status = 101
        elif kind == "websocket.close":
            self.status = self.status or 403
        await self.inner_send(message)

    @property
    def problem(self) -> str:
        """The slug of the problem that was answered, '' for none."""
        try:
            return str(json.loads(self._body)["type"]).rpartition(":")[2] if self._body else ""
        except (ValueError, KeyError):
            return ""

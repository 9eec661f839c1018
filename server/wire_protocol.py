"""HTTP/1.1 as uvicorn speaks it, without patience for connections that only hold on.

uvicorn limits how long a connection may idle between two requests, and h11 how large a request's head may be
(16 KiB), but neither how long a head may take: a client that sends a byte a minute (slow loris) would keep its
connection for good. A body's pace is the affair of `server.limits`.
"""

from __future__ import annotations

import asyncio
import logging

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class GuardedHttp(H11Protocol):
    """Closes a connection whose client does not finish what it began within `head_s` seconds."""

    head_s = 10.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what the client sent; waits on if that was not all."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Begins to wait for the next request, or for the end of a body that nobody wants any more."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        state = self.conn.their_state
        unread = state is h11.SEND_BODY and self.cycle is not None and self.cycle.response_complete
        if state is not h11.IDLE and not unread:
            self._rest()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_s, self.transport.close)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class NoTracebackForGarbage(logging.Filter):
    """Keeps one line of what uvicorn logs with a traceback though a viewer's garbage is no error of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Takes the traceback off the record; lets every record pass."""
        if record.msg == "Invalid UTF-8 sequence received from client.":
            record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
        return True

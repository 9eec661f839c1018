"""Connections that cannot be held for ever by a side that reads nothing.

What an application sends waits in the kernel's buffer until the other side reads; when that is full, uvicorn makes
the sender wait, without limit in time. A viewer that never reads would so hold its socket, its task and what waits
for it as long as it likes. Here nothing waits beside the one message that did not fit (the buffer above the kernel
has a limit of 0), and a connection in which nothing moves for ``stall_s`` seconds is cut: it cannot be told why,
since it reads nothing.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from contextlib import suppress

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server.wire_protocol import GuardedHttp

MAX_MESSAGE_BYTES = 16 * 1024
_MAX_FILES = 65_536


class Stall:
    """Watches a transport that is full: calls ``cut`` once nothing left it for ``stall_s`` seconds.

    Args:
        stall_s: seconds without progress.
        waiting_bytes: how much still waits to leave.
        cut: ends the connection.
        call_later: the event loop's.
    """

    def __init__(
        self,
        stall_s: float,
        waiting_bytes: Callable[[], int],
        cut: Callable[[], None],
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
    ) -> None:
        self._stall_s, self._waiting_bytes, self._cut, self._call_later = (
            stall_s,
            waiting_bytes,
            cut,
            call_later,
        )
        self._handle: asyncio.TimerHandle | None = None
        self._left_bytes = 0

    def begin(self) -> None:
        """The transport takes no more."""
        self.end()
        self._left_bytes = self._waiting_bytes()
        self._handle = self._call_later(self._stall_s, self._look)

    def end(self) -> None:
        """The transport is empty again, or gone."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        self._handle = None
        if self._waiting_bytes() < self._left_bytes:
            self.begin()
        else:
            self._cut()


def _stall_of(transport: asyncio.Transport, stall_s: float) -> Stall:
    transport.set_write_buffer_limits(high=0)
    loop = asyncio.get_running_loop()
    return Stall(stall_s, transport.get_write_buffer_size, transport.abort, loop.call_later)


class _CutWhenStalled(asyncio.Protocol):
    """Stands before a protocol of uvicorn's and tells a `Stall` when the transport is full, empty or gone."""

    stall_s: float
    stall: Stall

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.stall = _stall_of(transport, self.stall_s)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.stall.end()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self.stall.begin()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.stall.end()
        super().resume_writing()


class _Http(_CutWhenStalled, GuardedHttp):
    """HTTP, cut when it stalls."""


class _WebSocket(_CutWhenStalled, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, cut when it stalls."""


def protocols(stall_s: float) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
    """Returns the HTTP and the WebSocket protocol for uvicorn, cut after ``stall_s`` seconds without progress."""
    settings = {"stall_s": stall_s}
    return type("Http", (_Http,), settings), type("WebSocket", (_WebSocket,), settings)


def allow_connections() -> None:
    """Raises the limit of open files as far as the system lets this process: each viewer is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(_MAX_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

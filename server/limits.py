"""How large a request's body may be, counted as it arrives, and how slowly it may come."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import problems
from server.archive import MAX_ARCHIVE_BYTES
from server.problems import Refusal
from sm3.remote.frames import MAX_FRAME_BYTES

MAX_JSON_BYTES = 2**20
MAX_MANIFEST_BYTES = 16 * 2**20
BODY_S = 30.0
"""Seconds that a body may take, however small."""
MIN_BYTES_PER_S = 16 * 2**10
"""A larger body may take longer, at this pace."""
_CLOSE = {"Connection": "close"}


class BodyLimit:
    """ASGI middleware: ends a request whose body is too large (413) or too slow (408) for its path.

    Args:
        app: what comes behind.
        body_s: seconds that a body may take, beside those that its size allows it.
    """

    def __init__(self, app: ASGIApp, body_s: float = BODY_S) -> None:
        self.app = app
        self._body_s = body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, counting its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit_bytes = _limit_bytes(scope["path"])
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit_bytes:
            refusal = too_large(limit_bytes)
            await problems.respond(refusal.problem, refusal.headers)(scope, receive, send)
            return
        seen_bytes, is_complete = 0, False
        loop = asyncio.get_running_loop()
        started = loop.time()

        async def counted() -> Message:
            nonlocal seen_bytes, is_complete
            if is_complete:  # what comes now is word that the client has gone
                return await receive()
            allowed_s = self._body_s + seen_bytes / MIN_BYTES_PER_S
            try:
                async with asyncio.timeout_at(started + allowed_s):
                    message = await receive()
            except TimeoutError as error:
                raise too_slow(seen_bytes, allowed_s) from error
            seen_bytes += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if seen_bytes > limit_bytes:
                raise too_large(limit_bytes)
            return message

        await self.app(scope, counted, send)


def _limit_bytes(path: str) -> int:
    if "/frames/" in path:
        return MAX_FRAME_BYTES
    if path == "/v1/jobs/import":
        return MAX_ARCHIVE_BYTES
    return MAX_MANIFEST_BYTES if path.endswith("/manifest") else MAX_JSON_BYTES


def too_large(limit_bytes: int) -> Refusal:
    """Returns the 413 that names the limit."""
    return Refusal(
        413, "too-large", "Body too large", f"At most {limit_bytes:,} bytes are allowed here.", _CLOSE
    )


def too_slow(seen_bytes: int, allowed_s: float) -> Refusal:
    """Returns the 408 for a body that does not arrive."""
    return Refusal(
        408,
        "too-slow",
        "Body too slow",
        f"{seen_bytes:,} bytes came within {allowed_s:.0f} s and the body is not complete. Send it faster.",
        _CLOSE,
    )

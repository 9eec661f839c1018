"""How large a request's body may be, counted as it arrives."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.archive import MAX_ARCHIVE_BYTES
from server.problems import Refusal
from sm3.remote.frames import MAX_FRAME_BYTES

MAX_JSON_BYTES = 2**20
MAX_MANIFEST_BYTES = 16 * 2**20


class BodyLimit:
    """ASGI middleware: ends a request whose body grows beyond what its path may hold with a 413."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, counting its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit_bytes = _limit_bytes(scope["path"])
        seen_bytes = 0

        async def counted() -> Message:
            nonlocal seen_bytes
            message = await receive()
            seen_bytes += len(message.get("body", b""))
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
    return Refusal(413, "too-large", "Body too large", f"At most {limit_bytes:,} bytes are allowed here.")

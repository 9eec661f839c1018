"""What every request passes before any route: host and origin.

Cookies are not used anywhere, so a foreign page cannot act in someone's name. The host check keeps a page from
reaching a service on loopback by a name of its own (DNS rebinding); the origin check keeps foreign pages from
sending anything that changes something, and from opening WebSockets.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server import problems
from server.problems import Refusal

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY_VIOLATION = 1008


class HostCheck:
    """ASGI middleware: refuses requests for a host name that is not ours.

    Args:
        app: what comes behind.
        allowed: host names without ports; ``*`` allows every one, ``*.example.com`` those below a domain.
    """

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        self.app = app
        self._allowed = tuple(name.lower().strip("[]") for name in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers 400."""
        if scope["type"] in {"http", "websocket"}:
            given = Headers(scope=scope).getlist("host")
            if len(given) != 1 or not self._is_ours(hostname(f"//{given[0]}")):
                await _refuse(foreign_host(given), scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_ours(self, name: str) -> bool:
        if not name:
            return False
        return any(
            pattern in {"*", name} or (pattern.startswith("*.") and name.endswith(pattern[1:]))
            for pattern in self._allowed
        )


class OriginCheck:
    """ASGI middleware: refuses what a foreign page sends, where it could change something or opens a WebSocket.

    Args:
        app: what comes behind.
        allowed: origins that are ours too; none: pages of the same host, whatever their port.
    """

    def __init__(self, app: ASGIApp, allowed: Iterable[str] = ()) -> None:
        self.app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers 403."""
        matters = scope["type"] == "websocket" or (
            scope["type"] == "http" and scope["method"] not in _SAFE_METHODS
        )
        if matters:
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and not self._is_ours(origin, headers.get("host", "")):
                await _refuse(foreign_origin(origin), scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_ours(self, origin: str, host: str) -> bool:
        if origin in self._allowed:
            return True
        if self._allowed:
            return False
        page, ours = hostname(origin), hostname(f"//{host}")
        return bool(page) and (page == ours or (is_loopback(page) and is_loopback(ours)))


def hostname(address: str) -> str:
    """Returns the host name in an address, in lower case and without port or brackets; '' where there is none."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # which raises where it is no number
        return "" if parts.username is not None or parts.path else (parts.hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_loopback(name: str) -> bool:
    """Whether a host name or address is that of this machine alone."""
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        # Before it is accepted: the browser sees a 403.
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.problem.title})
        return
    await problems.respond(refusal.problem, refusal.headers)(scope, receive, send)


def foreign_host(given: list[str]) -> Refusal:
    """Returns the 400 for a request to a name that is not ours."""
    shown = ", ".join(repr(name[:100]) for name in given) or "none"
    return Refusal(
        400,
        "foreign-host",
        "Not this host",
        f"The Host header says {shown}, which is no name of this service. SM3_ALLOWED_HOSTS lists the names it has.",
    )


def foreign_origin(origin: str) -> Refusal:
    """Returns the 403 for what a foreign page sends."""
    return Refusal(
        403,
        "foreign-origin",
        "Not from this page",
        f"A page of {origin[:100]!r} may not do this. SM3_CORS_ORIGINS lists the origins that may.",
    )

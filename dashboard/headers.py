"""What the dashboard's answers carry: a content security policy, and what browsers should not do.

Streamlit's page has inline scripts and styles, and our components run from a blob, so those are allowed; what the
policy ends is loading code, frames or forms from elsewhere, and being framed by other sites.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d+)?")


class AnswerHeaders:
    """ASGI middleware: adds the headers to every answer.

    Args:
        app: what comes behind.
        api_url: the service's address, whose port pages connect to on their own host.
        public_url: its address as browsers see it; '' for the page's own host.
    """

    def __init__(self, app: ASGIApp, api_url: str, public_url: str) -> None:
        self.app = app
        self._port = urlsplit(api_url).port
        self._public = urlsplit(public_url).netloc if public_url else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "")
        fixed = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "X-Frame-Options": "SAMEORIGIN",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
            "Content-Security-Policy": policy(self._live(host)),
        }

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in fixed.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, sent)

    def _live(self, host: str) -> str:
        """Returns where the live view's WebSocket is, as host and port."""
        if self._public:
            return self._public
        found = _HOST.fullmatch(host)
        return f"{found[1]}:{self._port}" if found and self._port else ""


def policy(live: str) -> str:
    """Returns the policy for pages whose live view connects to ``live``, '' for the page's own origin alone."""
    connect = f" ws://{live} wss://{live}" if live else ""
    return "; ".join((
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        f"connect-src 'self'{connect}",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ))

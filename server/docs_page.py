"""``/docs`` with a content security policy that lets Swagger's own code run and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

_CDN = "https://cdn.jsdelivr.net"
_ICON = "https://fastapi.tiangolo.com"
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI) -> None:
    """Serves ``/docs``; the app is made with ``docs_url=None``."""

    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(openapi_url=app.openapi_url or "", title=f"{app.title} API")
        html = bytes(page.body).decode()
        return HTMLResponse(html, headers={"Content-Security-Policy": policy(html)})

    app.add_api_route("/docs", docs, include_in_schema=False, response_class=HTMLResponse)


def policy(html: str) -> str:
    """Returns the policy for Swagger's page: its inline script is allowed by its SHA-256."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(html))
    inline = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return "; ".join((
        "default-src 'none'",
        f"script-src {_CDN} {inline}",
        f"style-src {_CDN} 'unsafe-inline'",  # Swagger sets style attributes
        f"img-src 'self' data: {_ICON}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ))

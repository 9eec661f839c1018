"""The page that a deep link such as ``/jobs`` gets: Streamlit's own, told where its server is.

Left to itself Streamlit 1.67 asks for ``/jobs/_stcore/health`` and ``/jobs/_stcore/host-config`` first, in case the
dashboard were mounted below that path, and leaves two 404s in the console. A page knows better: the server is one
step above it, also where a proxy strips a prefix.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route
from streamlit import file_util

_WHERE = (
    '<script>window.__streamlit = { BACKEND_BASE_URL: new URL(".", window.location.href).href };</script>'
)


def routes(pages: Iterable[str], base_path: str = "") -> list[Route]:
    """Returns a route for each of ``pages``, named as in the address, of a dashboard below ``base_path``.

    The first is the one that Streamlit has at the root, and there alone: its name leads there.
    """
    base = base_path.strip("/")
    below = f"/{base}/" if base else "/"
    first, *others = pages
    return [Route(below + first, _to_root), *(Route(below + page, _serve) for page in others)]


async def _to_root(request: Request) -> RedirectResponse:
    return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./", status_code=307)


async def _serve(request: Request) -> HTMLResponse:
    return HTMLResponse(text(), headers={"Cache-Control": "no-cache"})


@cache
def text() -> str:
    """Returns Streamlit's page with the address of the server ahead of its scripts."""
    original = (Path(file_util.get_static_dir()) / "index.html").read_text(encoding="utf-8")
    return original.replace("<head>", f"<head>{_WHERE}", 1)

"""The page that every address gets: Streamlit's own, told where its server is and what it will need.

Left to itself Streamlit 1.67 asks for ``/jobs/_stcore/health`` and ``/jobs/_stcore/host-config`` first, in case the
dashboard were mounted below that path, and leaves two 404s in the console. A page knows better: the server is one
step above it, also where a proxy strips a prefix.

Streamlit learns only from the first run of its script which component a page has. The browser is told in the page's
head instead: it fetches our modules, and compiles Plotly on another thread, while Streamlit's own code starts.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route
from streamlit import file_util

from dashboard import assets

_WHERE = (
    '<script>window.__streamlit = { BACKEND_BASE_URL: new URL(".", window.location.href).href };</script>'
)
_COMPONENTS = {
    "live": ("live",),
    "compare": ("side_by_side", "charts"),
    "memory": ("charts",),
    "learn": ("lesson", "charts"),
    "jobs": ("jobs_table",),
    "system": ("system_board",),
}
_WITHOUT_PLOTLY = frozenset({"jobs", "system"})


def routes(pages: Iterable[str], base_path: str = "") -> list[Route]:
    """Returns a route for each of ``pages``, named as in the address, of a dashboard below ``base_path``.

    The first is at the root, and there alone: its name leads there.
    """
    base = base_path.strip("/")
    below = f"/{base}/" if base else "/"
    first, *others = pages
    served = [Route(below + page, _serving(page)) for page in others]
    return [Route(below, _serving(first)), Route(below + first, _to_root), *served]


async def _to_root(request: Request) -> RedirectResponse:
    return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./", status_code=307)


def _serving(page: str) -> Callable[[Request], Coroutine[Any, Any, HTMLResponse]]:
    async def serve(_: Request) -> HTMLResponse:
        return HTMLResponse(text(page), headers={"Cache-Control": "no-cache"})

    return serve


@cache
def text(page: str) -> str:
    """Returns Streamlit's page, told where its server is ahead of its scripts, with what ``page`` needs besides."""
    original = (Path(file_util.get_static_dir()) / "index.html").read_text(encoding="utf-8")
    first = _WHERE if page in _WITHOUT_PLOTLY else _WHERE + _plotly()
    return original.replace("<head>", f"<head>{first}", 1).replace("</head>", f"{_modules(page)}</head>", 1)


def _plotly() -> str:
    # First of all, for it is the largest and compiling it takes longest; `kit/plotly.js` finds it by its attribute.
    source = assets.url(assets.PLOTLY)
    return (
        f'<script async fetchpriority="high" data-sm3-plotly onerror="this.remove()" src="{source}"></script>'
    )


def _modules(page: str) -> str:
    names = [name for folder in ("kit", *_COMPONENTS[page]) for name in assets.modules(folder)]
    return "".join(
        f'<link rel="modulepreload" fetchpriority="low" href="{assets.url(name)}">' for name in names
    )

"""The browser code, as routes beside Streamlit's own.

Streamlit's component manifest serves one folder of one installed package; the live view also needs
``plotly.min.js`` of the plotly package. So both are mounted as plain routes of `streamlit.App`. Their path holds a
digest of all content, hence browsers may keep them for good and never mix two versions.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from streamlit import config

PLOTLY = "plotly.min.js"
_PREFIX = "/scope-assets"
_FOLDERS = {
    "kit": "dashboard.kit",
    "charts": "dashboard.charts",
    "live": "dashboard.live",
    "jobs_table": "dashboard.jobs_table",
    "system_board": "dashboard.system_board",
    "side_by_side": "dashboard.side_by_side",
    "lesson": "dashboard.lesson",
}
# Chromium compiles a script that begins so on another thread while it comes in (WICG, explicit JavaScript compile
# hints); left to itself it compiles function by function, all of it on the page's own. To others it is a comment.
_COMPILE_AHEAD = b"//# allFunctionsCalledOnLoad\n"
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}
_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}

LOADER = """
export default async function (component) {
  const { default: mount } = await import(new URL(component.data.module, document.baseURI).href);
  return mount(component);
}
"""
"""The inline script of a component: Streamlit runs it from a blob, where only a full address can be imported."""


def url(name: str) -> str:
    """Returns the address of an asset, such as ``live/index.js`` or ``plotly.min.js``, as the page's host has it."""
    return f"{_below(config.get_option('server.baseUrlPath') or '')}{_PREFIX}/{_digest()}/{name}"


def text(name: str) -> str:
    """Returns the text of an asset, such as ``live/live.css``."""
    return _content()[name].read_text(encoding="utf-8")


def modules(folder: str) -> list[str]:
    """Returns the names of the JavaScript modules in a folder of assets, such as ``live``."""
    return sorted(name for name in _content() if name.startswith(f"{folder}/") and name.endswith(".js"))


def routes(base_path: str = "") -> list[Route]:
    """Returns the routes that serve all assets, for a dashboard that is served below ``base_path``."""
    return [Route(f"{_below(base_path)}{_PREFIX}/{{digest}}/{{name:path}}", _serve)]


def _below(base_path: str) -> str:
    base = base_path.strip("/")
    return f"/{base}" if base else ""


async def _serve(request: Request) -> Response:
    name = request.path_params["name"]
    asset = _content().get(name)
    if asset is None:
        return PlainTextResponse("no such asset", status_code=404)
    if name == PLOTLY:
        return await run_in_threadpool(_plotly, "gzip" in request.headers.get("Accept-Encoding", ""))
    suffix = "." + asset.name.rpartition(".")[2]
    return Response(asset.read_bytes(), media_type=_MEDIA_TYPES[suffix], headers=_HEADERS)


def _plotly(is_compressed: bool) -> Response:
    body = compressed_plotly() if is_compressed else _COMPILE_AHEAD + _content()[PLOTLY].read_bytes()
    headers = {**_HEADERS, "Vary": "Accept-Encoding"} | (
        {"Content-Encoding": "gzip"} if is_compressed else {}
    )
    return Response(body, media_type=_MEDIA_TYPES[".js"], headers=headers)


@cache
def compressed_plotly() -> bytes:
    """Returns Plotly's script as it is sent: compressing five megabytes for each visitor would take 0.15 s of CPU."""
    return gzip.compress(_COMPILE_AHEAD + _content()[PLOTLY].read_bytes(), compresslevel=6)


@cache
def _content() -> dict[str, Traversable]:
    """Returns every asset there is: a name not in here is never looked for on disk."""
    found = {PLOTLY: files("plotly") / "package_data" / "plotly.min.js"}
    for folder, package in _FOLDERS.items():
        for asset in (files(package) / "assets").iterdir():
            if any(asset.name.endswith(suffix) for suffix in _MEDIA_TYPES):
                found[f"{folder}/{asset.name}"] = asset
    return found


@cache
def _digest() -> str:
    """Returns a digest of our own assets and of plotly's version."""
    digest = hashlib.sha256(version("plotly").encode() + _COMPILE_AHEAD)
    for name, asset in sorted(_content().items()):
        if name != PLOTLY:
            digest.update(asset.read_bytes())
    return digest.hexdigest()[:16]

"""``POST /sign-in`` and ``/sign-out``: plain forms, because only an answer to the browser can set a cookie.

The cookie is `HttpOnly` and `SameSite=Strict`. A form of another site is refused by its ``Origin``: otherwise that
site could sign somebody in as somebody else.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from dashboard.signed_in import COOKIE, LIFE_S, SIGNED_IN
from sm3.remote.client import Client, ServiceError, Unreachable
from sm3.remote.settings import ClientSettings

PROBLEM = "sign-in"
"""What the page's address is told of a token that was not taken: a `Refused`."""
_MAX_BODY_BYTES = 8192


class Refused(StrEnum):
    """Why somebody is not signed in."""

    UNKNOWN = "unknown"
    LATER = "later"
    UNREACHABLE = "unreachable"


def routes(base_path: str = "") -> list[Route]:
    """Returns both routes, of a dashboard below ``base_path``."""
    base = base_path.strip("/")
    below = f"/{base}/" if base else "/"
    return [
        Route(f"{below}sign-in", _sign_in, methods=["POST"]),
        Route(f"{below}sign-out", _sign_out, methods=["POST"]),
    ]


async def _sign_in(request: Request) -> Response:
    fields = await _fields(request)
    if fields is None:
        return _not_ours()
    token = fields.get("token", "").strip()
    back = _place(fields.get("to", ""))
    if refused := await run_in_threadpool(_refusal, token):
        return RedirectResponse(_with(back, refused), status_code=303)
    answer = RedirectResponse(_with(back, None), status_code=303)
    answer.set_cookie(
        COOKIE,
        SIGNED_IN.add(token),
        max_age=LIFE_S,
        httponly=True,
        samesite="strict",
        secure=_is_secure(request),
    )
    return answer


async def _sign_out(request: Request) -> Response:
    fields = await _fields(request)
    if fields is None:
        return _not_ours()
    SIGNED_IN.drop(request.cookies.get(COOKIE, ""))
    answer = RedirectResponse(_place(fields.get("to", "")), status_code=303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_is_secure(request))
    return answer


async def _fields(request: Request) -> dict[str, str] | None:
    """Returns a form's fields, None if another site sent it or it is none."""
    if not _is_ours(request.headers.get("origin", ""), request.headers.get("host", "")):
        return None
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            return None
    return dict(parse_qsl(body.decode("utf-8", "replace")))


def _is_ours(origin: str, host: str) -> bool:
    """Whether a page at ``origin`` is one of ours, who were asked for as ``host``; a proxy may leave out the port."""
    try:
        page, asked = urlsplit(origin), urlsplit(f"//{host}")
        is_same = page.netloc == asked.netloc or (asked.port is None and page.hostname == asked.hostname)
    except ValueError:  # no address
        return False
    return bool(page.hostname) and is_same


def _not_ours() -> Response:
    return PlainTextResponse("This form was not sent by a page of this dashboard.", status_code=403)


def _refusal(token: str) -> Refused | None:
    """Returns why the service does not take ``token``, None if it does."""
    if not token.isascii() or not token:
        return Refused.UNKNOWN
    try:
        with Client(ClientSettings().url, token) as client:
            client.whoami()
    except ServiceError as error:
        return Refused.UNKNOWN if error.problem.status in {401, 403} else Refused.LATER
    except Unreachable:
        return Refused.UNREACHABLE
    return None


def _place(wanted: str) -> str:
    """Returns the page to go back to: a path of this very host, or the first page."""
    place = urlsplit(wanted)
    is_ours = not place.scheme and not place.netloc and place.path.startswith("/") and "\\" not in wanted
    return wanted if is_ours and not wanted.startswith("//") and wanted.isprintable() else "./"


def _with(place: str, refused: Refused | None) -> str:
    """Returns ``place`` with the reason in its query, and without an earlier one."""
    path, _, query = place.partition("?")
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != PROBLEM]
    told = [*kept, (PROBLEM, refused.value)] if refused else kept
    return f"{path}?{urlencode(told)}" if told else path


def _is_secure(request: Request) -> bool:
    return "https" in {request.url.scheme, request.headers.get("x-forwarded-proto")}

"""Errors as RFC 9457 ``application/problem+json``: field, what was given, what is allowed."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from starlette.exceptions import HTTPException

from server.answer_headers import SECURITY_HEADERS
from server.operation.requests import REQUEST_ID, request_id
from sm3.remote.frames import FrameError
from sm3.remote.wire import FieldFault, Problem

MEDIA_TYPE = "application/problem+json"
_LOG = structlog.get_logger()
_MAX_GIVEN = 200


class Refusal(HTTPException):
    """An answer other than success: becomes a problem document.

    Args:
        status: HTTP status.
        type_: stable slug, the last part of the problem's ``type``.
        title: the kind of problem, the same for all of its type.
        detail: what was given, what is allowed, what to do.
        headers: further response headers.
        errors: every fault of the request, field by field.
    """

    def __init__(
        self,
        status: int,
        type_: str,
        title: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        *,
        errors: Sequence[FieldFault] = (),
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.problem = Problem(
            type=f"urn:sm3-scope:problem:{type_}",
            title=title,
            status=status,
            detail=detail,
            errors=tuple(errors),
        )


def invalid(found: Sequence[FieldFault]) -> Refusal:
    """Returns the 422 that lists ``found``: at least one fault, each said once."""
    return Refusal(422, "invalid-request", "The request is not valid", summed_up(found), errors=found)


def summed_up(found: Sequence[FieldFault]) -> str:
    """Returns the first of ``found`` as a sentence, and how many more there are."""
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{first.field}: given {first.given!r}; allowed: {first.allowed}{more}."


def not_found(what: str, given: str, remedy: str) -> Refusal:
    """Returns the 404 for a ``what`` that is not there."""
    return Refusal(404, "not-found", "Not found", f"There is no {what} {given[:100]!r}. {remedy}")


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Returns the HTTP response that carries ``problem``."""
    problem = problem.model_copy(update={"request_id": request_id()})
    return Response(problem.model_dump_json(), problem.status, dict(headers or {}), media_type=MEDIA_TYPE)


def faults(errors: Sequence[Any], body: object = None) -> tuple[FieldFault, ...]:
    """Returns pydantic's ``errors`` as field, given and allowed.

    Args:
        errors: what pydantic found.
        body: what was sent; with it, fields are named as the sender knows them, without the tags that pydantic
            adds for the members of a union.
    """
    return tuple(
        FieldFault(field=_field(error, body), given=_given(error), allowed=_allowed(error))
        for error in errors
    )


def _field(error: Mapping[str, Any], body: object) -> str:
    if error["type"] == "json_invalid":
        return "body"
    location = error["loc"]
    place: object = body
    path: list[str] = []
    for part in location:
        if part in {"body", "query", "path", "header"} and not path:
            continue
        if isinstance(place, dict) and part not in place and part in {place.get("name"), place.get("kind")}:
            continue
        path.append(_printable(str(part))[:_MAX_GIVEN])
        if isinstance(place, dict):
            place = place.get(part)
        elif isinstance(place, list) and isinstance(part, int) and part < len(place):
            place = place[part]
    if error["type"] == "union_tag_invalid":
        path.append(error["ctx"]["discriminator"].strip("'"))
    return ".".join(path) or str(location[0] if location else "body")


def _given(error: Mapping[str, Any]) -> object:
    if error["type"] == "missing":
        return "nothing"
    if error["type"] == "json_invalid":
        place = f" at character {error['loc'][-1]}" if error["loc"] else ""
        return f"something that is no JSON{place}: {error.get('ctx', {}).get('error', '')}"
    if error["type"] == "union_tag_invalid":
        return str(error["ctx"]["tag"])[:_MAX_GIVEN]
    given = error.get("input")
    if given is None or isinstance(given, bool | int | float):
        return (
            given
            if not isinstance(given, float) or (given == given and abs(given) != float("inf"))
            else str(given)
        )
    text = _printable(given) if isinstance(given, str) else type(given).__name__
    return text if len(text) <= _MAX_GIVEN else text[:_MAX_GIVEN] + "…"


def _printable(text: str) -> str:
    """Returns ``text`` without halves of characters, which no answer could carry."""
    return text.encode("utf-8", "backslashreplace").decode()


def _allowed(error: Mapping[str, Any]) -> str:
    message = _printable(str(error["msg"]))
    if error["type"] == "json_invalid":
        return "a JSON object"
    if error["type"] == "extra_forbidden":
        return "no such field: see /openapi.json for the fields there are"
    if error["type"] == "union_tag_invalid":
        return str(error["ctx"]["expected_tags"])
    return message.removeprefix("Input should be ").removeprefix("Value error, ")


def install(app: FastAPI) -> None:
    """Makes every error of ``app`` a problem document."""
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(FrameError, _on_frame)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DBAPIError, _on_store)
    app.add_exception_handler(PoolExhausted, _on_store)
    app.add_exception_handler(OSError, _on_os)
    app.add_exception_handler(Exception, _on_bug)


def _on_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return respond(error.problem, error.headers)


def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = faults(error.errors(), error.body)
    first, detail = found[0], summed_up(found)
    sent = request.headers.get("content-type", "")
    if first.field == "body" and "json" not in sent:
        detail += (
            f" The body was sent as {sent or 'nothing'!r}: send the header 'Content-Type: application/json'."
        )
    return respond(
        Problem(
            type="urn:sm3-scope:problem:invalid-request",
            title="The request is not valid",
            status=422,
            detail=detail,
            errors=found,
        )
    )


def _on_frame(_: Request, error: Exception) -> Response:
    return respond(
        Problem(
            type="urn:sm3-scope:problem:invalid-frame", title="Not a frame", status=422, detail=str(error)
        )
    )


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    slug = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(
        error.status_code, "http-error"
    )
    problem = Problem(
        type=f"urn:sm3-scope:problem:{slug}",
        title=str(error.detail),
        status=error.status_code,
        detail=f"{error.detail}. /docs lists what can be asked.",
    )
    return respond(problem, headers)


def _methods(request: Request) -> list[str]:
    """Returns what may be done at an address; Starlette knows but the methods of one route there."""
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        pattern = getattr(route, "path_regex", None)
        if pattern is not None and pattern.match(request.url.path):
            found |= route.methods or set()
    return sorted(found)


def _on_store(request: Request, error: Exception) -> Response:
    if isinstance(error, DBAPIError) and not isinstance(error, OperationalError) and not _is_gone(error):
        return _on_bug(request, error)
    _LOG.error(
        "store", path=request.url.path, error=str(error.orig if isinstance(error, DBAPIError) else error)
    )
    if is_storage_full(error):
        return respond(_INSUFFICIENT, {"Retry-After": "2"})
    return respond(_UNAVAILABLE, {"Retry-After": "2"})


def _on_os(request: Request, error: Exception) -> Response:
    if not is_storage_full(error):
        return _on_bug(request, error)
    _LOG.error("disk full", path=request.url.path, error=str(error))
    return respond(_INSUFFICIENT, {"Retry-After": "2"})


_INSUFFICIENT = Problem(
    type="urn:sm3-scope:problem:insufficient-storage",
    title="No room to store this",
    status=507,
    detail="The service's disk is full; nothing of this request was stored, and what was acknowledged before is safe. "
    "Free some space on the service's machine; workers keep their frames and send them again.",
)
_UNAVAILABLE = Problem(
    type="urn:sm3-scope:problem:store-unavailable",
    title="Store unavailable",
    status=503,
    detail="The store does not answer; nothing was stored. Try again.",
)


def is_storage_full(error: Exception) -> bool:
    """Whether ``error`` (of SQLAlchemy or the system) says that a disk is full or does not take what is written."""
    if isinstance(error, DBAPIError):
        cause = error.orig
        if isinstance(cause, sqlite3.Error):
            return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_FULL
        return getattr(cause, "sqlstate", None) == _POSTGRES_DISK_FULL
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


_SQLITE_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_POSTGRES_DISK_FULL = "53100"


def _is_gone(error: DBAPIError) -> bool:
    """Whether the connection was lost, which drivers tell by errors of several kinds."""
    return bool(error.connection_invalidated)


def _on_bug(request: Request, error: Exception) -> Response:
    _LOG.error("unhandled", path=request.url.path, exc_info=error)
    problem = Problem(
        type="urn:sm3-scope:problem:internal",
        title="Internal error",
        status=500,
        detail="The service met an error of its own; its log has the traceback, under this request's id.",
    )
    # Starlette answers this outside of every middleware, so what they would add is added here.
    return respond(problem, {REQUEST_ID: request_id(), **SECURITY_HEADERS})

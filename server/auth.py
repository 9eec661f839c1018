"""What a route needs of who calls it, said once where the route is declared: ``dependencies=[needs(Scope.VIEW)]``.

`server.access` tells who is behind a token. Beside scopes there is the **ingest token**, made for one attempt of
one job and given to its worker alone: read that job, report on it and store its frames. The job keeps its SHA-256
until the next attempt or its end.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from server.access import Principal
from server.problems import Refusal
from server.store.jobs import UnknownJob
from server.store.tokens import digest
from sm3.remote.tokens import Scope

if TYPE_CHECKING:
    from server.service import Service

__all__ = ["Needs", "Scope", "bearer", "caller", "digest", "needs", "new_ingest_token"]
INGEST_PREFIX = "sm3i_"


def new_ingest_token() -> str:
    """Returns a fresh token for one worker."""
    return INGEST_PREFIX + secrets.token_urlsafe(32)


def bearer(authorization: str | None) -> str:
    """Returns the token in an ``Authorization`` header, '' where there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True)
class Needs:
    """A dependency that refuses whoever may not call the route.

    It looks at nothing but the token and the job's id in the path, so who may not ask learns nothing else.

    Attributes:
        scope: what a token has to allow.
        or_worker: whether the job's own worker may, too.
    """

    scope: Scope
    or_worker: bool = False

    async def __call__(self, request: Request) -> None:
        """Lets the request pass, and notes who asks in ``request.state.caller``.

        Raises:
            Refusal: 401 without a valid token, 403 with one for something else, 429 after too many failures.
        """
        here: Service = request.app.state.service
        token = bearer(request.headers.get("authorization"))
        if token.startswith(INGEST_PREFIX) and here.settings.auth:
            if not (self.or_worker and await _is_worker(here, token, str(request.path_params.get("job_id")))):
                raise forbidden("A worker's token is good for its own job's current attempt alone.")
            request.state.caller = Principal("worker", Scope.VIEW)
            return
        address = request.client.host if request.client else ""
        found = await run_in_threadpool(here.access.identify, token, address)
        if found is None:
            raise unauthorized()
        if not found.scope.covers(self.scope):
            raise forbidden(
                f"This token's scope is {found.scope.value!r}; this needs {self.scope.value!r}. An admin can make "
                f"one: `sm3 token create NAME --scope {self.scope.value}`."
            )
        request.state.caller = found


def needs(scope: Scope, *, or_worker: bool = False) -> Any:
    """Returns the dependency for a route that needs ``scope``, or that the job's own worker may call too."""
    return Depends(Needs(scope, or_worker))


def caller(request: Request) -> Principal:
    """Returns who calls a route that `needs` a scope."""
    found: Principal = request.state.caller
    return found


async def _is_worker(here: Service, token: str, job_id: str) -> bool:
    try:
        expected = await run_in_threadpool(here.jobs.ingest_digest, job_id)
    except UnknownJob:
        return False
    return bool(expected) and hmac.compare_digest(digest(token), expected)


def unauthorized() -> Refusal:
    """Returns the 401 that tells where the token is."""
    return Refusal(
        401,
        "unauthorized",
        "A valid token is needed",
        "Send 'Authorization: Bearer TOKEN'. `sm3 token` prints it on the service's machine.",
        {"WWW-Authenticate": "Bearer"},
    )


def forbidden(detail: str) -> Refusal:
    """Returns the 403 for a token that is valid for something else."""
    return Refusal(403, "forbidden", "Not allowed", detail)

"""``/v1/tokens``: who may do what. For admins alone."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Body, Path, Query, Request, Response

from server.auth import Scope, caller, needs
from server.examples import TOKEN_EXAMPLES
from server.service import ServiceDep
from sm3.remote.tokens import NewToken, TokenPage, TokenRotation, TokenSpec, TokenView

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], dependencies=[needs(Scope.ADMIN)])
TokenId = Annotated[
    str, Path(min_length=1, max_length=64, description="a token's id, as POST /v1/tokens gave it")
]
_LOG = structlog.get_logger()


@router.post("", status_code=201)
def create(
    here: ServiceDep,
    request: Request,
    response: Response,
    spec: Annotated[TokenSpec, Body(openapi_examples=TOKEN_EXAMPLES)],
) -> NewToken:
    """Makes a token. Its `secret` is in this answer alone: the service keeps no more than its SHA-256."""
    made = here.access.tokens.create(spec)
    _LOG.info("token made", token=made.id, scope=made.scope.value, by=caller(request).name)
    response.headers["Location"] = f"/v1/tokens/{made.id}"
    return made


@router.get("")
def list_tokens(
    here: ServiceDep,
    after: Annotated[
        str | None, Query(max_length=64, description="cursor: `next` of the page before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> TokenPage:
    """Lists tokens without their secrets, newest first, those that have ended too."""
    return here.access.tokens.page(after=after, limit=limit)


@router.get("/{token_id}")
def get(here: ServiceDep, token_id: TokenId) -> TokenView:
    """Returns one token without its secret."""
    return here.access.tokens.get(token_id)


@router.delete("/{token_id}")
def revoke(here: ServiceDep, request: Request, token_id: TokenId) -> TokenView:
    """Ends a token at once, with its open streams; it stays in the list. Revoking twice changes nothing."""
    ended = here.access.tokens.revoke(token_id)
    _LOG.info("token revoked", token=ended.id, by=caller(request).name)
    return ended


@router.post("/{token_id}/rotate")
def rotate(
    here: ServiceDep, request: Request, token_id: TokenId, how: TokenRotation | None = None
) -> NewToken:
    """Gives a token a new `secret`, in this answer alone; the old one ends at once, or after `grace_s` seconds."""
    grace_s = how.grace_s if how else 0
    made = here.access.tokens.rotate(token_id, grace_s=grace_s)
    _LOG.info("token rotated", token=made.id, grace_s=grace_s, by=caller(request).name)
    return made

"""``/v1/whoami``: what the token of whoever asks allows, so that a page need not offer what would be refused."""

from __future__ import annotations

from fastapi import APIRouter, Request

from server.auth import Scope, caller, needs
from sm3.remote.tokens import Whoami

router = APIRouter(tags=["tokens"], dependencies=[needs(Scope.VIEW)])


@router.get("/v1/whoami")
def whoami(request: Request) -> Whoami:
    """Tells the name and the scope of the token that was sent; `anyone` and `admin` where none is needed."""
    who = caller(request)
    return Whoami(name=who.name, scope=who.scope)

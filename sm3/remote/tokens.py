"""Tokens as they travel: what an admin asks for, and what is answered. The secret itself is answered once.

Scopes are nested: ``admin`` may do what ``launch`` may, and ``launch`` what ``view`` may.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from sm3.remote.spec import Spec
from sm3.remote.wire import View

MAX_LIFE_S = 10 * 365 * 86_400
MAX_GRACE_S = 7 * 86_400


class Scope(StrEnum):
    """What the holder of a token may do; each may also do what those before it may."""

    VIEW = "view"
    LAUNCH = "launch"
    ADMIN = "admin"

    def covers(self, needed: Scope) -> bool:
        """Whether a token of this scope may do what needs ``needed``."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)


class TokenSpec(Spec):
    """A token to be made."""

    name: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="for people: who or what holds it",
        examples=["course dashboard"],
    )
    scope: Scope = Field(Scope.VIEW, description="what its holder may do")
    expires_in_s: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=MAX_LIFE_S,
        description="seconds until it ends; null: it holds until it is revoked",
    )


class Whoami(View):
    """Whom a token stands for, and what they may do."""

    name: str = Field(description="the token's name, `admin` for the admin token")
    scope: Scope = Field(description="what the holder may do")


class TokenRotation(Spec):
    """How a token's secret is replaced."""

    grace_s: int = Field(
        0,
        strict=True,
        ge=0,
        le=MAX_GRACE_S,
        description="seconds for which the old secret is still good; 0: none at all",
    )


class TokenView(View):
    """A token without its secret, which the service does not know either."""

    id: str
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = Field(None, description="to the minute")
    rotated_at: datetime | None = None
    old_secret_until: datetime | None = Field(
        None, description="until when the secret before this one is good"
    )
    revoked_at: datetime | None = None


class NewToken(TokenView):
    """A token with its secret: this answer is the only place where it ever stands."""

    secret: str


class TokenPage(View):
    """Tokens, newest first. ``next`` is the cursor of the following page, null on the last."""

    items: tuple[TokenView, ...]
    next: str | None = None

"""Tokens. A secret has 256 random bits and is stored as its SHA-256 alone.

A slow password hash would protect secrets that people choose; 256 random bits cannot be guessed whatever the
hash costs, and SHA-256 keeps every request cheap.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from server.store.database import Database
from server.store.ids import next_id
from server.store.tables import TokenRow
from sm3.remote.tokens import NewToken, Scope, TokenPage, TokenSpec, TokenView

PREFIX = "sm3t_"
_USED_EVERY_S = 60.0


class UnknownToken(LookupError):  # noqa: N818 - reads as what it is
    """No token has this id."""

    def __init__(self, token_id: str) -> None:
        super().__init__(f"there is no token {token_id!r}")
        self.token_id = token_id


class EndedToken(ValueError):  # noqa: N818 - reads as what it is
    """The token was revoked or has expired; nothing was changed."""


def digest(token: str) -> str:
    """Returns the SHA-256 of ``token`` in hex: what is stored in its place."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True)
class TokenStore:
    """Makes, finds, rotates and revokes tokens.

    Args:
        database: where they are.
        now: Unix time in seconds.
    """

    database: Database
    now: Callable[[], float] = time.time

    def create(self, spec: TokenSpec) -> NewToken:
        """Stores a new token and returns it with its secret."""
        secret, now = _new_secret(), self.now()
        with self.database.write() as session:
            row = TokenRow(
                id=next_id(session, TokenRow.id),
                name=spec.name,
                scope=spec.scope,
                digest=digest(secret),
                created_s=now,
                expires_s=None if spec.expires_in_s is None else now + spec.expires_in_s,
            )
            session.add(row)
            session.flush()
            return NewToken(**_fields(row, now), secret=secret)

    def page(self, *, after: str | None, limit: int) -> TokenPage:
        """Returns up to ``limit`` tokens, newest first, older than the one ``after``; revoked ones too."""
        query = select(TokenRow).order_by(TokenRow.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(TokenRow.id < after)
        now = self.now()
        with self.database.read() as session:
            rows = session.scalars(query).all()
            items = tuple(TokenView(**_fields(row, now)) for row in rows[:limit])
        return TokenPage(items=items, next=items[-1].id if len(rows) > limit else None)

    def get(self, token_id: str) -> TokenView:
        """Returns a token. Raises `UnknownToken`."""
        with self.database.read() as session:
            return TokenView(**_fields(_row(session, token_id), self.now()))

    def revoke(self, token_id: str) -> TokenView:
        """Ends a token at once; revoking twice changes nothing. Raises `UnknownToken`."""
        now = self.now()
        with self.database.write() as session:
            row = _row(session, token_id)
            if row.revoked_s is None:
                row.revoked_s, row.old_digest, row.old_until_s = now, None, None
            return TokenView(**_fields(row, now))

    def rotate(self, token_id: str, *, grace_s: float) -> NewToken:
        """Gives a token a new secret and returns it; the old one is good for another ``grace_s`` seconds.

        Raises:
            UnknownToken: no such token.
            EndedToken: it was revoked or has expired.
        """
        secret, now = _new_secret(), self.now()
        with self.database.write() as session:
            row = _row(session, token_id)
            if not _is_live(row, now):
                raise EndedToken(f"the token {row.name!r} was revoked or has expired; make a new one")
            row.old_digest, row.old_until_s = (row.digest, now + grace_s) if grace_s else (None, None)
            row.digest, row.rotated_s = digest(secret), now
            session.flush()
            return NewToken(**_fields(row, now), secret=secret)

    def find(self, secret_digest: str) -> TokenView | None:
        """Returns the token whose secret has this digest, None unless there is one and it is good now."""
        now = self.now()
        query = select(TokenRow).where(
            or_(TokenRow.digest == secret_digest, TokenRow.old_digest == secret_digest)
        )
        with self.database.read() as session:
            row = session.scalars(query).first()
            if row is None or not _is_live(row, now) or not _is_secret_of(row, secret_digest, now):
                return None
            return TokenView(**_fields(row, now))

    def used(self, token: TokenView) -> None:
        """Notes that a token was used just now, at most once a minute: a request should not cost a write."""
        now = self.now()
        if token.last_used_at is not None and now - token.last_used_at.timestamp() < _USED_EVERY_S:
            return
        with self.database.write() as session:
            _row(session, token.id).last_used_s = now


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _is_live(row: TokenRow, now: float) -> bool:
    return row.revoked_s is None and (row.expires_s is None or now < row.expires_s)


def _is_secret_of(row: TokenRow, secret_digest: str, now: float) -> bool:
    """Whether the digest is that of the current secret, or of the one before within its grace; in constant time."""
    is_current = hmac.compare_digest(row.digest, secret_digest)
    is_old = hmac.compare_digest(row.old_digest or "", secret_digest)
    return is_current or (is_old and now < (row.old_until_s or 0.0))


def _row(session: Session, token_id: str) -> TokenRow:
    row = session.get(TokenRow, token_id)
    if row is None:
        raise UnknownToken(token_id)
    return row


def _fields(row: TokenRow, now: float) -> dict[str, object]:
    in_grace = row.old_until_s is not None and now < row.old_until_s
    return {
        "id": row.id,
        "name": row.name,
        "scope": Scope(row.scope),
        "created_at": _at(row.created_s),
        "expires_at": _at(row.expires_s),
        "last_used_at": _at(row.last_used_s),
        "rotated_at": _at(row.rotated_s),
        "old_secret_until": _at(row.old_until_s) if in_grace else None,
        "revoked_at": _at(row.revoked_s),
    }


def _at(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

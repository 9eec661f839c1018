"""Idempotency keys: the same request sent twice makes one thing, however often the answer is lost."""

from __future__ import annotations

import hashlib
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store.tables import ComparisonRow, JobRow
from sm3.remote.spec import Spec


class KeyReused(ValueError):  # noqa: N818 - reads as what it is
    """The key was used before with another body."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {key!r} came before with another body")


Row = TypeVar("Row", JobRow, ComparisonRow)


def digest_of(body: Spec) -> str:
    """Returns the SHA-256 of a request, as it was understood: the order of its fields makes no difference."""
    return hashlib.sha256(body.model_dump_json().encode()).hexdigest()


def made_with(session: Session, table: type[Row], key: str, body: Spec) -> Row | None:
    """Returns what an earlier request with this key and body made; None where there was none.

    Raises:
        KeyReused: there was one with this key and another body.
    """
    found = session.scalar(select(table).where(table.idempotency_key == key))
    if found is not None and found.body_digest != digest_of(body):
        raise KeyReused(key)
    return found

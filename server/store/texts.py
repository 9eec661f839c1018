"""Text as both backends can hold it."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy.types import TypeDecorator


def _without_nul(value: str | None) -> str | None:
    # PostgreSQL refuses U+0000 in any text, SQLite takes it; an id that holds one then simply is not there.
    return value.replace("\x00", "\ufffd") if value is not None else None


class Text(TypeDecorator[str]):
    """Text of any length; U+0000 becomes U+FFFD."""

    impl = sqlalchemy.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Returns what is sent to the database."""
        return _without_nul(value)


class String(TypeDecorator[str]):
    """Text of limited length; U+0000 becomes U+FFFD."""

    impl = sqlalchemy.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Returns what is sent to the database."""
        return _without_nul(value)

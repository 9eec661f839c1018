"""Ids that sort by the order in which rows were stored, whatever the clock says."""

from __future__ import annotations

import time
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session
from uuid_utils import uuid7

_HORIZON_NS = (
    10 * 365 * 86_400 * 10**9
)  # an id further ahead was not made by a clock: some archive brought it


def next_id(session: Session, column: InstrumentedAttribute[str]) -> str:
    """Returns a new UUIDv7 that sorts behind every id in ``column`` that a clock could have made.

    Where the clock is behind the newest id, since it was set back, the new one's time is a millisecond after that
    one's (RFC 9562, §6.2: a monotonic value may run ahead of the clock): lists go by id.
    """
    made = str(uuid7())
    horizon = str(uuid7(nanoseconds=time.time_ns() + _HORIZON_NS))
    newest = session.scalar(select(func.max(column)).where(column < horizon))
    if newest is None or newest < made:
        return made
    newest_ms = UUID(newest).int >> 80
    return str(uuid7(nanoseconds=(newest_ms + 1) * 1_000_000))

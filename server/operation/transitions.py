"""Counts changes of state as they are committed, wherever in the store's code they are made."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from server.operation.measures import Measures
from server.store import Database
from server.store.tables import TransitionRow
from sm3.remote.wire import JobState

_NOTED = "sm3_transitions"


def count_transitions(database: Database, measures: Measures) -> None:
    """Makes every transition that ``database`` commits count in ``measures``; those rolled back do not."""

    def note(session: Session, _: Any) -> None:
        for row in session.new:
            if isinstance(row, TransitionRow):
                wait_s = _waited_s(session, row) if row.state == JobState.STARTING else None
                session.info.setdefault(_NOTED, []).append((str(row.state), wait_s))

    def count(session: Session) -> None:
        for state, wait_s in session.info.pop(_NOTED, ()):
            measures.transitions.labels(state).inc()
            if wait_s is not None:
                measures.attempts.inc()
                measures.queue_wait.observe(max(0.0, wait_s))

    def forget(session: Session) -> None:
        session.info.pop(_NOTED, None)

    event.listen(database.sessions, "after_flush", note)
    event.listen(database.sessions, "after_commit", count)
    event.listen(database.sessions, "after_rollback", forget)


def _waited_s(session: Session, row: TransitionRow) -> float | None:
    """Returns how long a job that is starting was queued, in seconds."""
    query = select(func.max(TransitionRow.at_s)).where(
        TransitionRow.job_id == row.job_id, TransitionRow.state == JobState.QUEUED
    )
    with session.no_autoflush:
        since = session.scalar(query)
    return None if since is None else row.at_s - since

"""What tells, in one cheap query, that jobs changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select

from server.store.database import Database
from server.store.tables import JobRow


class Mark(NamedTuple):
    """What tells that a job changed, as the store has it: how many frames, and in which state it is."""

    frames: int
    words: tuple[str, ...]


def words(state: str, attempt: int, phase: str) -> tuple[str, ...]:
    """Returns what of a job, beside its frames, a viewer is told when it changes."""
    return (str(state), str(attempt), phase)


def read_marks(database: Database, job_ids: Sequence[str]) -> dict[str, Mark]:
    """Returns the mark of each job of ``job_ids`` that is in the store."""
    columns = (JobRow.id, JobRow.frames, JobRow.state, JobRow.attempt, JobRow.phase)
    with database.read() as session:
        rows = session.execute(select(*columns).where(JobRow.id.in_(job_ids))).all()
    return {
        job_id: Mark(frames, words(state, attempt, phase)) for job_id, frames, state, attempt, phase in rows
    }

"""Who trains, who waits, and how much is stored, in one consistent look."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.lifecycle import HAVE_WORKER
from server.store.database import Database
from server.store.job_rows import view
from server.store.tables import JobRow, SegmentRow, TransitionRow
from sm3.remote.wire import JobState, JobView


@dataclass(frozen=True)
class Since:
    """A job, and when it entered the state it is in, in Unix seconds."""

    job: JobView
    at_s: float


@dataclass(frozen=True)
class Occupancy:
    """What the store holds.

    Attributes:
        working: jobs that have a worker, in the order of their ids.
        waiting: the first of the queue, in the order in which they are started.
        jobs: how many jobs are in each state.
        num_frames: stored frames.
        segments_bytes: of sealed frames.
    """

    working: tuple[Since, ...]
    waiting: tuple[Since, ...]
    jobs: dict[JobState, int]
    num_frames: int
    segments_bytes: int


def occupancy(database: Database, *, max_waiting: int) -> Occupancy:
    """Returns what the store holds, with up to ``max_waiting`` jobs of the queue."""
    working = select(JobRow).where(JobRow.state.in_(sorted(HAVE_WORKER))).order_by(JobRow.id)
    waiting = (
        select(JobRow)
        .where(JobRow.state == JobState.QUEUED)
        .order_by(JobRow.priority.desc(), JobRow.id)  # as `JobStore.claim` takes them
        .limit(max_waiting)
    )
    sealed = select(func.sum(SegmentRow.size_bytes)).where(
        SegmentRow.sealed_s.is_not(None), SegmentRow.job_id.is_not(None)
    )
    with database.read() as session:
        counts = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state))
        return Occupancy(
            working=_since(session, list(session.scalars(working))),
            waiting=_since(session, list(session.scalars(waiting))),
            jobs={JobState(state): count for state, count in counts},
            num_frames=int(session.scalar(select(func.sum(JobRow.frames))) or 0),
            segments_bytes=int(session.scalar(sealed) or 0),
        )


def _since(session: Session, rows: list[JobRow]) -> tuple[Since, ...]:
    entered = (
        select(TransitionRow.job_id, func.max(TransitionRow.at_s))
        .join(JobRow, JobRow.id == TransitionRow.job_id)
        .where(JobRow.id.in_([row.id for row in rows]), TransitionRow.state == JobRow.state)
        .group_by(TransitionRow.job_id)
    )
    at_s: dict[str, float] = {row[0]: row[1] for row in session.execute(entered)}
    return tuple(Since(view(row), at_s.get(row.id, row.created_s)) for row in rows)

"""Jobs and their transitions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from uuid_utils import uuid7

from server.lifecycle import HAVE_WORKER, check
from server.store.database import Database, locking
from server.store.tables import JobRow, ManifestRow, TransitionRow
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobPage, JobState, JobView, Manifest, Memory, Progress, Transition


class UnknownJob(LookupError):  # noqa: N818 - reads as what it is
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id!r}")
        self.job_id = job_id


@dataclass(frozen=True)
class JobStore:
    """Reads and changes jobs; every change of state goes through :meth:`move`.

    Args:
        database: where they are.
        now: Unix time in seconds.
    """

    database: Database
    now: Callable[[], float] = time.time

    def create(self, spec: JobSpec) -> JobView:
        """Stores a new queued job and returns it."""
        with self.database.write() as session:
            return view(insert(session, spec, self.now()))

    def get(self, job_id: str) -> JobView:
        """Returns a job. Raises `UnknownJob`."""
        with self.database.read() as session:
            return view(_row(session, job_id))

    def page(self, *, after: str | None, limit: int, state: JobState | None) -> JobPage:
        """Returns up to ``limit`` jobs, newest first, older than the job ``after``."""
        query = select(JobRow).order_by(JobRow.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(JobRow.id < after)
        if state is not None:
            query = query.where(JobRow.state == state)
        with self.database.read() as session:
            rows = session.scalars(query).all()
            items = tuple(view(row) for row in rows[:limit])
        return JobPage(items=items, next=items[-1].id if len(rows) > limit else None)

    def with_worker(self, home: str) -> tuple[JobView, ...]:
        """Returns the jobs whose worker should be alive and belongs to the data folder ``home``."""
        query = (
            select(JobRow)
            .where(JobRow.state.in_(sorted(HAVE_WORKER)), JobRow.home.in_(("", home)))
            .order_by(JobRow.id)
        )
        with self.database.read() as session:
            return tuple(view(row) for row in session.scalars(query))

    def transitions(self, job_id: str, *, after: int = -1) -> tuple[Transition, ...]:
        """Returns the job's transitions numbered above ``after``, oldest first. Raises `UnknownJob`."""
        with self.database.read() as session:
            _row(session, job_id)
            rows = session.scalars(
                select(TransitionRow)
                .where(TransitionRow.job_id == job_id, TransitionRow.number > after)
                .order_by(TransitionRow.number)
            )
            return tuple(
                Transition(
                    number=r.number, state=JobState(r.state), at=_at(r.at_s), attempt=r.attempt, cause=r.cause
                )
                for r in rows
            )

    def claim(self, ingest_digest: str, *, home: str = "") -> JobView | None:
        """Takes the oldest queued job to ``starting``, for a worker with that token; None if there is none.

        ``home`` is the data folder that the worker will belong to. A job that has run elsewhere before is left
        to that folder, which has what it needs to go on.
        """
        oldest = (
            select(JobRow.id)
            .where(JobRow.state == JobState.QUEUED, JobRow.home.in_(("", home)))
            .order_by(JobRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        now = self.now()
        with self.database.write() as session:
            row = session.scalars(
                update(JobRow)
                .where(JobRow.id == oldest, JobRow.state == JobState.QUEUED)
                .values(
                    state=JobState.STARTING,
                    cause="a slot is free",
                    started_s=now,
                    ingest_digest=ingest_digest,
                    home=home,
                )
                .returning(JobRow)
            ).one_or_none()
            if row is None:
                return None
            _log(session, row, now)
            return view(row)

    def move(self, job_id: str, state: JobState, cause: str, *, attempt: int | None = None) -> JobView:
        """Takes a job to ``state``.

        Raises:
            UnknownJob: no such job.
            lifecycle.IllegalMove: the table does not allow it, or ``attempt`` is no longer the current one.
        """
        with self.database.write() as session:
            row = _row(session, job_id)
            if attempt is not None:
                check_attempt(row, attempt)
            _move(session, row, state, cause, self.now())
            return view(row)

    def cancel(self, job_id: str, cause: str) -> JobView:
        """Ends a queued job, asks a running one to stop; does nothing if that has been done before.

        Raises:
            UnknownJob: no such job.
            lifecycle.IllegalMove: the job has ended in another way.
        """
        with self.database.write() as session:
            row = _row(session, job_id)
            cancel(session, row, cause, self.now())
            return view(row)

    def set_phase(self, job_id: str, phase: str, *, attempt: int) -> JobView:
        """Stores what the worker does before its first step."""
        with self.database.write() as session:
            row = _row(session, job_id)
            check_attempt(row, attempt)
            row.phase = phase
            return view(row)

    def set_manifest(self, job_id: str, manifest: Manifest) -> JobView:
        """Stores the worker's tensors, bytes and provenance; a job that was starting runs from then on."""
        with self.database.write() as session:
            row = _row(session, job_id)
            check_attempt(row, manifest.attempt)
            row.summary = manifest.model_dump_json(include={"memory", "provenance", "device"})
            row.phase = ""
            session.merge(ManifestRow(job_id=job_id, body=manifest.model_dump_json()))
            if row.state == JobState.STARTING:
                _move(session, row, JobState.RUNNING, "the first step is done", self.now())
            return view(row)

    def manifest(self, job_id: str) -> Manifest | None:
        """Returns the worker's manifest, None before its first step. Raises `UnknownJob`."""
        with self.database.read() as session:
            _row(session, job_id)
            found = session.get(ManifestRow, job_id)
        return Manifest.model_validate_json(found.body) if found else None

    def ingest_digest(self, job_id: str) -> str:
        """Returns the SHA-256 of the current worker's token, '' where there is none. Raises `UnknownJob`."""
        with self.database.read() as session:
            return _row(session, job_id).ingest_digest

    def count_by_state(self) -> dict[JobState, int]:
        """Returns how many jobs are in each state."""
        with self.database.read() as session:
            rows = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state))
            return {JobState(state): count for state, count in rows}


class StaleAttempt(ValueError):  # noqa: N818 - reads as what it is
    """A worker of an earlier attempt speaks; it is fenced off."""

    def __init__(self, given: int, current: int) -> None:
        super().__init__(
            f"attempt {given} given, but the job is at attempt {current}: this worker is out of date"
        )


def check_attempt(row: JobRow, attempt: int) -> None:
    """Raises `StaleAttempt` unless ``attempt`` is the job's current one."""
    if attempt != row.attempt:
        raise StaleAttempt(attempt, row.attempt)


def insert(session: Session, spec: JobSpec, now: float) -> JobRow:
    """Adds a new queued job to the session's transaction; returns its row."""
    row = JobRow(
        id=str(uuid7()),
        state=JobState.QUEUED,
        attempt=0,
        cause="waiting for a free slot",
        phase="",
        spec=spec.model_dump_json(),
        created_s=now,
        ingest_digest="",
        step=0,
        frames=0,
        latest="{}",
    )
    session.add(row)
    session.flush()
    _log(session, row, now)
    return row


def cancel(session: Session, row: JobRow, cause: str, now: float) -> None:
    """Ends a queued job, asks a running one to stop; raises `lifecycle.IllegalMove` if it has ended otherwise."""
    state = JobState(row.state)
    if state not in {JobState.CANCELLING, JobState.CANCELLED}:
        to = JobState.CANCELLED if state is JobState.QUEUED else JobState.CANCELLING
        _move(session, row, to, cause, now)


def _row(session: Session, job_id: str) -> JobRow:
    """Returns a job's row, locked if the session writes."""
    row = session.get(JobRow, job_id, with_for_update=locking(session))
    if row is None:
        raise UnknownJob(job_id)
    return row


def _move(session: Session, row: JobRow, state: JobState, cause: str, now: float) -> None:
    check(JobState(row.state), state)
    row.state, row.cause = state, cause
    if state.is_final:
        row.finished_s, row.phase, row.ingest_digest = now, "", ""
    _log(session, row, now)


def _log(session: Session, row: JobRow, now: float) -> None:
    last = session.scalar(select(func.max(TransitionRow.number)).where(TransitionRow.job_id == row.id))
    session.add(
        TransitionRow(
            job_id=row.id,
            number=0 if last is None else last + 1,
            state=row.state,
            attempt=row.attempt,
            at_s=now,
            cause=row.cause,
        )
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def view(row: JobRow) -> JobView:
    """Returns a job's row as it is shown."""
    spec = JobSpec.model_validate_json(row.spec)
    latest = json.loads(row.latest)
    step_s = latest.get("step_s")
    left = 0 if JobState(row.state).is_final else spec.steps - row.step
    summary = json.loads(row.summary) if row.summary else {}
    return JobView(
        id=row.id,
        state=JobState(row.state),
        attempt=row.attempt,
        cause=row.cause,
        phase=row.phase,
        created_at=_at(row.created_s),
        started_at=_at(row.started_s) if row.started_s is not None else None,
        finished_at=_at(row.finished_s) if row.finished_s is not None else None,
        spec=spec,
        progress=Progress(
            step=row.step,
            steps=spec.steps,
            loss=latest.get("loss"),
            val_loss=latest.get("val_loss"),
            tokens_per_s=latest.get("tokens_per_s"),
            step_s=step_s,
            eta_s=step_s * left if step_s is not None and row.frames else None,
            last_frame_at=_at(row.last_frame_s) if row.last_frame_s is not None else None,
            frames=row.frames,
            frames_dropped=int(latest.get("frames_dropped") or 0),
        ),
        memory=Memory.model_validate(summary["memory"]) if summary else None,
        provenance=summary.get("provenance", {}),
        device=summary.get("device", ""),
    )

"""Jobs and their transitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from server.lifecycle import HAVE_WORKER
from server.store import job_rows
from server.store.database import Database
from server.store.job_lists import JobFilter, page_of
from server.store.job_rows import QueueFull, StaleAttempt, UnknownJob, check_attempt, row_of, view
from server.store.keys import digest_of, made_with
from server.store.tables import JobRow, ManifestRow, TransitionRow
from sm3.remote.job_specs import JobPatch, JobSpec
from sm3.remote.wire import JobPage, JobState, JobView, Manifest, Transition

__all__ = ["JobStore", "NotEnded", "QueueFull", "StaleAttempt", "UnknownJob"]

NO_LIMIT = 2**62


class NotEnded(ValueError):  # noqa: N818 - reads as what it is
    """The job has not ended, so it cannot be deleted."""

    def __init__(self, state: JobState) -> None:
        super().__init__(f"the job is {state}: cancel it and wait for its end before deleting it")


@dataclass(frozen=True)
class JobStore:
    """Reads and changes jobs; every change of state goes through `job_rows.move`.

    Args:
        database: where they are.
        now: Unix time in seconds.
        max_queued: how many may wait.
    """

    database: Database
    now: Callable[[], float] = time.time
    max_queued: int = NO_LIMIT

    def create(self, spec: JobSpec, *, cloned_from: str | None = None) -> JobView:
        """Stores a new queued job and returns it. Raises `QueueFull` if as many wait as may."""
        with self.database.write() as session:
            job_rows.require_room(session, 1, self.max_queued)
            return view(job_rows.insert(session, spec, self.now(), cloned_from=cloned_from))

    def create_once(self, spec: JobSpec, key: str) -> tuple[JobView, bool]:
        """Stores a new queued job unless ``key`` made it before; returns it, and whether it is new.

        Raises:
            KeyReused: ``key`` made a job of another spec before.
            QueueFull: as many wait as may.
        """
        try:
            return self._create_once(spec, key)
        except IntegrityError:  # another request with the key came in between; its job is found now
            return self._create_once(spec, key)

    def _create_once(self, spec: JobSpec, key: str) -> tuple[JobView, bool]:
        with self.database.write() as session:
            if (found := made_with(session, JobRow, key, spec)) is not None:
                return view(found), False
            job_rows.require_room(session, 1, self.max_queued)
            row = job_rows.insert(session, spec, self.now())
            row.idempotency_key, row.body_digest = key, digest_of(spec)
            session.flush()
            return view(row), True

    def get(self, job_id: str) -> JobView:
        """Returns a job. Raises `UnknownJob`."""
        with self.database.read() as session:
            return view(row_of(session, job_id))

    def page(self, wanted: JobFilter = JobFilter(), *, after: str | None = None, limit: int = 50) -> JobPage:  # noqa: B008 - frozen
        """Returns up to ``limit`` of the jobs that are ``wanted``, newest first, older than the job ``after``."""
        with self.database.read() as session:
            rows = session.scalars(page_of(wanted, after=after, limit=limit)).all()
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

    def ended_before(self, time_s: float, *, keep_label: str, limit: int = 100) -> tuple[str, ...]:
        """Returns ids of jobs that ended before ``time_s`` (Unix seconds) and do not carry the label ``keep_label``."""
        query = select(JobRow).where(JobRow.finished_s < time_s).order_by(JobRow.finished_s).limit(limit)
        with self.database.read() as session:
            rows = (view(row) for row in session.scalars(query))
            return tuple(job.id for job in rows if job.state.is_final and keep_label not in job.labels)

    def transitions(self, job_id: str, *, after: int = -1) -> tuple[Transition, ...]:
        """Returns the job's transitions numbered above ``after``, oldest first. Raises `UnknownJob`."""
        with self.database.read() as session:
            row_of(session, job_id)
            rows = session.scalars(
                select(TransitionRow)
                .where(TransitionRow.job_id == job_id, TransitionRow.number > after)
                .order_by(TransitionRow.number)
            )
            return tuple(
                Transition(
                    number=r.number,
                    state=JobState(r.state),
                    at=job_rows.at(r.at_s),
                    attempt=r.attempt,
                    cause=r.cause,
                )
                for r in rows
            )

    def claim(self, ingest_digest: str, *, home: str = "", but: Collection[str] = ()) -> JobView | None:
        """Takes the next queued job to ``starting``, for a worker with that token; None if there is none.

        The highest priority comes first, then the oldest. A job that was started before begins its next attempt.

        Args:
            ingest_digest: SHA-256 of the worker's token.
            home: the data folder that the worker will belong to. A job that has run elsewhere before is left to that
                folder, which has what it needs to go on.
            but: ids of jobs that are to wait.
        """
        first = (
            select(JobRow.id)
            .where(JobRow.state == JobState.QUEUED, JobRow.id.not_in(but), JobRow.home.in_(("", home)))
            .order_by(JobRow.priority.desc(), JobRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        now = self.now()
        with self.database.write() as session:
            row = session.scalars(
                update(JobRow)
                .where(JobRow.id == first, JobRow.state == JobState.QUEUED)
                .values(
                    state=JobState.STARTING,
                    cause="a slot is free",
                    attempt=case((JobRow.started_s.is_not(None), JobRow.attempt + 1), else_=JobRow.attempt),
                    started_s=func.coalesce(JobRow.started_s, now),
                    base_step=JobRow.step,
                    ingest_digest=ingest_digest,
                    home=home,
                )
                .returning(JobRow)
            ).one_or_none()
            if row is None:
                return None
            job_rows.log(session, row, now)
            return view(row)

    def move(
        self,
        job_id: str,
        state: JobState,
        cause: str,
        *,
        attempt: int | None = None,
        failures: int | None = None,
    ) -> JobView:
        """Takes a job to ``state``.

        Args:
            job_id: the job.
            state: what it becomes.
            cause: why, in words.
            attempt: whose word it is, if a worker's.
            failures: crashes in a row from now on; None: as before.

        Raises:
            UnknownJob: no such job.
            StaleAttempt: ``attempt`` is no longer the current one.
            lifecycle.IllegalMove: the table does not allow it.
        """
        with self.database.write() as session:
            row = row_of(session, job_id)
            if attempt is not None:
                check_attempt(row, attempt)
            job_rows.move(session, row, state, cause, self.now())
            if failures is not None:
                row.failures = failures
            return view(row)

    def cancel(self, job_id: str, cause: str) -> JobView:
        """Ends a queued or paused job, asks a running one to stop; does nothing if that has been done before.

        Raises:
            UnknownJob: no such job.
            lifecycle.IllegalMove: the job has ended in another way.
        """
        with self.database.write() as session:
            row = row_of(session, job_id)
            job_rows.cancel(session, row, cause, self.now())
            return view(row)

    def pause(self, job_id: str, cause: str) -> JobView:
        """Holds a queued job, asks a running one to make way; does nothing if that has been done before.

        Raises:
            UnknownJob: no such job.
            lifecycle.IllegalMove: the job has ended or is being cancelled.
        """
        with self.database.write() as session:
            row = row_of(session, job_id)
            job_rows.pause(session, row, cause, self.now())
            return view(row)

    def resume(self, job_id: str, cause: str) -> JobView:
        """Queues a paused job; does nothing to one that waits or runs.

        Raises:
            UnknownJob: no such job.
            QueueFull: as many wait as may.
            lifecycle.IllegalMove: the job has ended, is being cancelled, or its worker has not made way yet.
        """
        with self.database.write() as session:
            row = row_of(session, job_id)
            if row.state == JobState.PAUSED:
                job_rows.require_room(session, 1, self.max_queued)
            job_rows.resume(session, row, cause, self.now())
            return view(row)

    def change(self, job_id: str, patch: JobPatch) -> JobView:
        """Changes labels, notes or priority. Raises `UnknownJob`."""
        with self.database.write() as session:
            row = row_of(session, job_id)
            if patch.labels is not None:
                job_rows.set_labels(session, row, patch.labels)
            if patch.notes is not None:
                job_rows.set_notes(row, patch.notes)
            if patch.priority is not None:
                row.priority = patch.priority
            return view(row)

    def delete(self, job_id: str) -> None:
        """Removes a job that has ended, with all that is stored of it.

        Raises:
            UnknownJob: no such job.
            NotEnded: it has not ended; nothing was removed.
        """
        with self.database.write() as session:
            row = row_of(session, job_id)
            state = JobState(row.state)
            if not state.is_final:
                raise NotEnded(state)
            session.execute(delete(JobRow).where(JobRow.id == job_id))

    def set_phase(self, job_id: str, phase: str, *, attempt: int) -> JobView:
        """Stores what the worker does before its first step."""
        with self.database.write() as session:
            row = row_of(session, job_id)
            check_attempt(row, attempt)
            row.phase = phase
            return view(row)

    def set_warning(self, job_id: str, warning: str, *, attempt: int) -> JobView:
        """Stores trouble that the worker goes on in spite of; '' takes it back."""
        with self.database.write() as session:
            row = row_of(session, job_id)
            check_attempt(row, attempt)
            row.warning = warning
            return view(row)

    def set_manifest(self, job_id: str, manifest: Manifest) -> JobView:
        """Stores the worker's tensors, bytes and provenance; a job that was starting runs from then on."""
        with self.database.write() as session:
            row = row_of(session, job_id)
            check_attempt(row, manifest.attempt)
            row.summary = manifest.model_dump_json(include={"memory", "provenance", "device"})
            row.phase = ""
            session.merge(ManifestRow(job_id=job_id, body=manifest.model_dump_json()))
            if row.state == JobState.STARTING:
                resumed = manifest.resumed_step
                cause = f"it goes on after step {resumed:,}" if resumed else "the first step is done"
                job_rows.move(session, row, JobState.RUNNING, cause, self.now())
            return view(row)

    def manifest(self, job_id: str) -> Manifest | None:
        """Returns the worker's manifest, None before its first step. Raises `UnknownJob`."""
        with self.database.read() as session:
            row_of(session, job_id)
            found = session.get(ManifestRow, job_id)
        return Manifest.model_validate_json(found.body) if found else None

    def ingest_digest(self, job_id: str) -> str:
        """Returns the SHA-256 of the current worker's token, '' where there is none. Raises `UnknownJob`."""
        with self.database.read() as session:
            return row_of(session, job_id).ingest_digest

    def count_by_state(self) -> dict[JobState, int]:
        """Returns how many jobs are in each state."""
        with self.database.read() as session:
            rows = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state))
            return {JobState(state): count for state, count in rows}

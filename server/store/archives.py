"""Jobs out of one store and into another."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from server.archive import Archive, ArchivedJob, ArchivedRecord, ArchivedTransition
from server.store import job_rows
from server.store.database import Database
from server.store.ids import next_id
from server.store.job_rows import UnknownJob
from server.store.recording import add_many, advance
from server.store.tables import FrameRow, JobRow, ManifestRow, TransitionRow
from sm3.remote.frames import read_header, read_scalars, readdressed
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState, JobView, Manifest


class JobExists(ValueError):  # noqa: N818 - reads as what it is
    """There is a job with this id already."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id} is here already. Import it with ?new_id=true to have it a second time, as a copy"
        )


@dataclass(frozen=True)
class ArchiveStore:
    """Takes jobs out of the store and into it.

    Args:
        database: where they are.
        now: Unix time in seconds.
    """

    database: Database
    now: Callable[[], float] = time.time

    def record(self, job_id: str) -> tuple[ArchivedRecord, tuple[int, int]]:
        """Returns a job without its frames, and the (attempt, seq) of the newest, (-1, -1) without any.

        Raises:
            UnknownJob: no such job.
        """
        newest = (
            select(FrameRow.attempt, FrameRow.seq)
            .where(FrameRow.job_id == job_id)
            .order_by(FrameRow.attempt.desc(), FrameRow.seq.desc())
            .limit(1)
        )
        with self.database.read() as session:
            row = session.get(JobRow, job_id)
            if row is None:
                raise UnknownJob(job_id)
            manifest = session.get(ManifestRow, job_id)
            log = session.scalars(
                select(TransitionRow).where(TransitionRow.job_id == job_id).order_by(TransitionRow.number)
            )
            end = session.execute(newest).one_or_none()
            record = ArchivedRecord(
                ArchivedJob(
                    **{name: getattr(row, name) for name in _PLAIN},
                    state=JobState(row.state),
                    spec=JobSpec.model_validate_json(row.spec),
                    labels=json.loads(row.labels),
                    notes=row.notes,
                ),
                tuple(
                    ArchivedTransition(
                        number=t.number,
                        state=JobState(t.state),
                        attempt=t.attempt,
                        at_s=t.at_s,
                        cause=t.cause,
                    )
                    for t in log
                ),
                Manifest.model_validate_json(manifest.body) if manifest else None,
            )
        return record, (end.attempt, end.seq) if end is not None else (-1, -1)

    def restore(self, archive: Archive, *, new_id: bool) -> JobView:
        """Stores an archived job, all of it or nothing; returns it.

        It is never claimed: one that had not ended where it was packed counts as cancelled.

        Args:
            archive: the job.
            new_id: give it an id of its own instead of the one it had.

        Raises:
            JobExists: its id is taken.
        """
        record = archive.record
        job_id = record.job.id
        frames: Iterable[bytes] = archive.frames()
        try:
            with self.database.write() as session:
                if new_id:
                    job_id = next_id(session, JobRow.id)
                    frames = map(partial(readdressed, job=job_id), frames)
                if session.get(JobRow, job_id) is not None:
                    raise JobExists(job_id)
                row = self._insert(session, job_id, record)
                add_many(session, job_id, _telling(row, frames))
                row.last_frame_s = record.job.last_frame_s
                session.flush()
                return job_rows.view(row)
        except IntegrityError as error:  # another service imported it in between
            raise JobExists(job_id) from error

    def _insert(self, session: Session, job_id: str, record: ArchivedRecord) -> JobRow:
        """Adds the job, its manifest and its transitions."""
        job, manifest = record.job, record.manifest
        log = list(record.transitions)
        if not job.state.is_final:
            cause = f"it was {job.state.value} when it was packed, and does not go on here"
            log.append(
                ArchivedTransition(
                    number=len(log),
                    state=JobState.CANCELLED,
                    attempt=job.attempt,
                    at_s=self.now(),
                    cause=cause,
                )
            )
        summary = manifest.model_dump_json(include={"memory", "provenance", "device"}) if manifest else None
        plain = {name: getattr(job, name) for name in _PLAIN}
        row = JobRow(
            **plain
            | {
                "id": job_id,
                "state": log[-1].state,
                "cause": job.cause if job.state.is_final else log[-1].cause,
                "finished_s": job.finished_s if job.state.is_final else log[-1].at_s,
            },
            phase="",
            spec=job.spec.model_dump_json(),
            ingest_digest="",
            summary=summary,
            step=0,
            frames=0,
            latest=json.dumps({}),
            priority=0,
            recipe=job.spec.recipe.name,
            notes=job.notes,
            warning="",
            failures=0,
            base_step=0,
        )
        session.add(row)
        job_rows.set_labels(session, row, job.labels)
        session.flush()
        if manifest is not None:
            session.add(ManifestRow(job_id=job_id, body=manifest.model_dump_json()))
        session.add_all(TransitionRow(job_id=job_id, **transition.model_dump()) for transition in log)
        session.flush()
        return row


_PLAIN = ("id", "attempt", "cause", "created_s", "started_s", "finished_s", "last_frame_s")


def _telling(row: JobRow, frames: Iterable[bytes]) -> Iterable[bytes]:
    """Yields the frames; the job's row learns on the way what it repeats of them."""
    for blob in frames:
        header = read_header(blob)
        advance(row, header, read_scalars(blob), header.time_s)
        yield blob

"""Frames and scalar history.

A frame is stored once under (job, attempt, seq). Its scalar columns are kept beside it and, every
`CHUNK_FRAMES` frames, gathered into chunks in the same transaction, job-wide series apart from those of tensors:
reading a history of 10^5 points then costs a few large reads instead of 10^5 small ones.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from server.store.database import Database
from server.store.jobs import StaleAttempt, UnknownJob, check_attempt
from server.store.tables import FrameRow, JobRow, ScalarChunkRow
from sm3.remote.frames import Header, Scalars, encode_scalars, read_header, read_scalars
from sm3.remote.wire import FrameInfo

CHUNK_FRAMES = 256
_LATEST = ("loss", "val_loss", "tokens_per_s", "step_s", "frames_dropped", "lr", "grad_norm")

__all__ = ["FrameStore", "StaleAttempt", "StoredFrame", "is_job_wide"]


@dataclass(frozen=True)
class StoredFrame:
    """A frame as it came in; ``is_new`` is False when it was there before."""

    header: Header
    scalars: Scalars
    blob: bytes
    is_new: bool


def is_job_wide(series: str) -> bool:
    """Whether a scalar series belongs to the job rather than to one of its tensors."""
    return "/" not in series


@dataclass(frozen=True)
class FrameStore:
    """Stores and reads frames.

    Args:
        database: where they are.
        now: Unix time in seconds.
    """

    database: Database
    now: Callable[[], float] = time.time

    def add(self, job_id: str, blob: bytes) -> StoredFrame:
        """Stores a frame; storing one twice is a no-op. When this returns, the frame is on disk.

        Raises:
            FrameError: not a well-formed frame.
            UnknownJob: no such job.
            StaleAttempt: the frame is of another attempt than the job's current one.
        """
        header, scalars = read_header(blob), read_scalars(blob)
        key = (job_id, header.attempt, header.seq)
        try:
            with self.database.write() as session:
                job = session.get(JobRow, job_id)
                if job is None:
                    raise UnknownJob(job_id)
                check_attempt(job, header.attempt)
                if session.get(FrameRow, key) is not None:
                    return StoredFrame(header, scalars, blob, is_new=False)
                session.add(
                    FrameRow(
                        job_id=job_id,
                        attempt=header.attempt,
                        seq=header.seq,
                        step=header.step,
                        at_s=header.time_s,
                        size_bytes=len(blob),
                        scalars=encode_scalars(scalars),
                        blob=blob,
                    )
                )
                session.flush()
                _advance(job, header, scalars, self.now())
                if (header.seq + 1) % CHUNK_FRAMES == 0:
                    _gather(session, job_id, header.attempt, header.seq)
        except IntegrityError:
            return StoredFrame(header, scalars, blob, is_new=False)
        return StoredFrame(header, scalars, blob, is_new=True)

    def page(
        self, job_id: str, *, after: tuple[int, int] = (-1, -1), limit: int
    ) -> tuple[tuple[FrameInfo, ...], bool]:
        """Returns up to ``limit`` frames behind (attempt, seq) ``after``, and whether there are more."""
        query = (
            select(FrameRow.attempt, FrameRow.seq, FrameRow.step, FrameRow.at_s, FrameRow.size_bytes)
            .where(_behind(job_id, after))
            .order_by(FrameRow.attempt, FrameRow.seq)
            .limit(limit + 1)
        )
        with self.database.read() as session:
            rows = session.execute(query).all()
        items = tuple(
            FrameInfo(attempt=a, seq=s, step=step, at=datetime.fromtimestamp(at_s, UTC), size_bytes=size)
            for a, s, step, at_s, size in rows[:limit]
        )
        return items, len(rows) > limit

    def blob(self, job_id: str, attempt: int, seq: int) -> bytes | None:
        """Returns a frame's bytes, None if there is no such frame."""
        query = select(FrameRow.blob).where(
            FrameRow.job_id == job_id, FrameRow.attempt == attempt, FrameRow.seq == seq
        )
        with self.database.read() as session:
            return session.scalar(query)

    def newest(self, job_id: str) -> bytes | None:
        """Returns the newest frame's bytes, None if there is none."""
        query = (
            select(FrameRow.blob)
            .where(FrameRow.job_id == job_id)
            .order_by(FrameRow.attempt.desc(), FrameRow.seq.desc())
            .limit(1)
        )
        with self.database.read() as session:
            return session.scalar(query)

    def newest_series(self, job_id: str) -> tuple[str, ...]:
        """Returns the names of the series that the newest frame has points of."""
        query = (
            select(FrameRow.scalars)
            .where(FrameRow.job_id == job_id)
            .order_by(FrameRow.attempt.desc(), FrameRow.seq.desc())
            .limit(1)
        )
        with self.database.read() as session:
            blob = session.scalar(query)
        return read_scalars(blob).names if blob is not None else ()

    def points(
        self, job_id: str, *, after: tuple[int, int], limit: int
    ) -> list[tuple[int, int, int, Scalars]]:
        """Returns (attempt, seq, step, scalars) of up to ``limit`` frames behind ``after``, oldest first."""
        query = (
            select(FrameRow.attempt, FrameRow.seq, FrameRow.step, FrameRow.scalars)
            .where(_behind(job_id, after))
            .order_by(FrameRow.attempt, FrameRow.seq)
            .limit(limit)
        )
        with self.database.read() as session:
            rows = session.execute(query).all()
        return [(a, s, step, read_scalars(scalars)) for a, s, step, scalars in rows]

    def before_newest(self, job_id: str, count: int) -> tuple[int, int]:
        """Returns the (attempt, seq) behind which the newest ``count`` frames lie; (-1, -1) if there are no more."""
        query = (
            select(FrameRow.attempt, FrameRow.seq)
            .where(FrameRow.job_id == job_id)
            .order_by(FrameRow.attempt.desc(), FrameRow.seq.desc())
            .offset(count)
            .limit(1)
        )
        with self.database.read() as session:
            row = session.execute(query).one_or_none()
        return (row.attempt, row.seq) if row is not None else (-1, -1)

    def history(self, job_id: str, *, job_wide: bool) -> Scalars:
        """Returns all scalar points of the job's own series, or of its tensors' series, oldest first."""
        scope = "job" if job_wide else "tensor"
        with self.database.read() as session:
            chunks = session.execute(
                select(ScalarChunkRow.attempt, ScalarChunkRow.last_seq, ScalarChunkRow.blob)
                .where(ScalarChunkRow.job_id == job_id, ScalarChunkRow.scope == scope)
                .order_by(ScalarChunkRow.attempt, ScalarChunkRow.first_seq)
            ).all()
            gathered = (chunks[-1][0], chunks[-1][1]) if chunks else (-1, -1)
            tail = session.scalars(
                select(FrameRow.scalars)
                .where(_behind(job_id, gathered))
                .order_by(FrameRow.attempt, FrameRow.seq)
            ).all()
        whole = [read_scalars(blob) for _, _, blob in chunks]
        return Scalars.concatenate([*whole, *(_scope(read_scalars(b), job_wide=job_wide) for b in tail)])


def _behind(job_id: str, after: tuple[int, int]) -> ColumnElement[bool]:
    """Whether a frame is the job's and comes behind (attempt, seq) ``after``."""
    attempt, seq = after
    later = (FrameRow.attempt > attempt) | ((FrameRow.attempt == attempt) & (FrameRow.seq > seq))
    return and_(FrameRow.job_id == job_id, later)


def _scope(scalars: Scalars, *, job_wide: bool) -> Scalars:
    return scalars.select(name for name in scalars.names if is_job_wide(name) == job_wide)


def _advance(job: JobRow, header: Header, scalars: Scalars, now: float) -> None:
    """Takes what the job's row repeats of its newest frame."""
    job.frames += 1
    job.last_frame_s = now
    if header.step < job.step:
        return
    job.step = header.step
    latest = json.loads(job.latest)
    values = scalars.latest()
    latest |= {name: values[name] for name in _LATEST if name in values}
    job.latest = json.dumps({k: v if v is None or math.isfinite(v) else None for k, v in latest.items()})


def _gather(session: Session, job_id: str, attempt: int, last_seq: int) -> None:
    """Writes the chunks that end with frame ``last_seq``, if all frames before it are there."""
    done = session.scalar(
        select(func.max(ScalarChunkRow.last_seq)).where(
            ScalarChunkRow.job_id == job_id, ScalarChunkRow.attempt == attempt
        )
    )
    first_seq = -1 if done is None else done
    blobs = session.scalars(
        select(FrameRow.scalars)
        .where(
            FrameRow.job_id == job_id,
            FrameRow.attempt == attempt,
            FrameRow.seq > first_seq,
            FrameRow.seq <= last_seq,
        )
        .order_by(FrameRow.seq)
    ).all()
    if len(blobs) != last_seq - first_seq:
        return
    points = Scalars.concatenate(read_scalars(blob) for blob in blobs)
    for scope in ("job", "tensor"):
        session.add(
            ScalarChunkRow(
                job_id=job_id,
                attempt=attempt,
                scope=scope,
                first_seq=first_seq + 1,
                last_seq=last_seq,
                blob=encode_scalars(_scope(points, job_wide=scope == "job")),
            )
        )

"""Frames and scalar history.

A frame is stored once under (job, attempt, seq). Its scalar columns are kept beside it and, every
`CHUNK_FRAMES` frames, gathered into chunks in the same transaction, job-wide series apart from those of tensors:
reading a history of 10^5 points then costs a few large reads instead of 10^5 small ones.

A sealed frame (:mod:`server.store.sealer`) keeps its row; scalars and blob are then read from its segment. No
caller knows the difference.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select
from sqlalchemy.orm import Session, load_only

from server.store.database import Database, locking
from server.store.jobs import StaleAttempt, UnknownJob, check_attempt
from server.store.segments import Column, Segments
from server.store.tables import FrameRow, JobRow, ScalarChunkRow, SegmentRow
from sm3.remote.frames import Header, Scalars, encode_scalars, read_header, read_scalars
from sm3.remote.wire import FrameInfo

CHUNK_FRAMES = 256
_BATCH_BYTES = 16 * 2**20
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
        segments: where sealed ones are; None where nothing is ever sealed.
        now: Unix time in seconds.
    """

    database: Database
    segments: Segments | None = None
    now: Callable[[], float] = time.time

    def add(self, job_id: str, blob: bytes) -> StoredFrame:
        """Stores a frame; storing one twice is a no-op. When this returns, the frame is on disk.

        Raises:
            FrameError: not a well-formed frame.
            UnknownJob: no such job.
            StaleAttempt: the frame is of another attempt than the job's current one.
        """
        header, scalars = read_header(blob), read_scalars(blob)
        with self.database.write() as session:
            job = session.get(JobRow, job_id, with_for_update=locking(session))
            if job is None:
                raise UnknownJob(job_id)
            check_attempt(job, header.attempt)
            if session.get(FrameRow, (job_id, header.attempt, header.seq), options=_KEY_ALONE) is not None:
                return StoredFrame(header, scalars, blob, is_new=False)
            session.execute(insert(FrameRow), [_row(job_id, header, scalars, blob)])
            _advance(job, header, scalars, self.now())
            if (header.seq + 1) % CHUNK_FRAMES == 0:
                _gather(session, job_id, header.attempt, header.seq)
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
        found = self._values(
            "blob",
            _parts(FrameRow.blob).where(
                FrameRow.job_id == job_id, FrameRow.attempt == attempt, FrameRow.seq == seq
            ),
        )
        return found[0] if found else None

    def newest(self, job_id: str) -> bytes | None:
        """Returns the newest frame's bytes, None if there is none."""
        found = self._values("blob", _newest_first(_parts(FrameRow.blob), job_id).limit(1))
        return found[0] if found else None

    def newest_series(self, job_id: str) -> tuple[str, ...]:
        """Returns the names of the series that the newest frame has points of."""
        found = self._values("scalars", _newest_first(_parts(FrameRow.scalars), job_id).limit(1))
        return read_scalars(found[0]).names if found else ()

    def points(
        self, job_id: str, *, after: tuple[int, int], limit: int
    ) -> list[tuple[int, int, int, Scalars]]:
        """Returns (attempt, seq, step, scalars) of up to ``limit`` frames behind ``after``, oldest first."""
        query = (
            _parts(FrameRow.scalars, FrameRow.step)
            .where(_behind(job_id, after))
            .order_by(FrameRow.attempt, FrameRow.seq)
            .limit(limit)
        )
        with self.database.read() as session:
            rows = session.execute(query).all()
        blobs = self._filled("scalars", rows)
        return [(r.attempt, r.seq, r.step, read_scalars(b)) for r, b in zip(rows, blobs, strict=True)]

    def history(self, job_id: str, *, job_wide: bool) -> Scalars:
        """Returns all scalar points of the job's own series, or of its tensors' series, oldest first."""
        scope = "job" if job_wide else "tensor"
        with self.database.read() as session:
            chunks = session.execute(
                select(ScalarChunkRow.attempt, ScalarChunkRow.last_seq, ScalarChunkRow.blob)
                .where(ScalarChunkRow.job_id == job_id, ScalarChunkRow.scope == scope)
                .order_by(ScalarChunkRow.attempt, ScalarChunkRow.first_seq)
            ).all()
            ends = {attempt: last_seq for attempt, last_seq, _ in chunks}
            tail = session.execute(
                _parts(FrameRow.scalars)
                .where(FrameRow.job_id == job_id, not_gathered(ends))
                .order_by(FrameRow.attempt, FrameRow.seq)
            ).all()
        # Chunks first, then what is behind them, attempt by attempt.
        parts = [(attempt, read_scalars(blob)) for attempt, _, blob in chunks]
        filled = zip(tail, self._filled("scalars", tail), strict=True)
        parts += [(r.attempt, _scope(read_scalars(blob), job_wide=job_wide)) for r, blob in filled]
        return Scalars.concatenate(part for _, part in sorted(parts, key=lambda part: part[0]))

    def _values(self, column: Column, query: Any) -> list[bytes]:
        with self.database.read() as session:
            rows = session.execute(query).all()
        return self._filled(column, rows)

    def _filled(self, column: Column, rows: Sequence[Row[Any]]) -> list[bytes]:
        """Returns a column of rows that `_parts` selected; those of sealed frames are read from their segments."""
        wanted: dict[str, list[int]] = {}
        for row in rows:
            if row.segment_id is not None:
                wanted.setdefault(row.segment_id, []).append(row.seq)
        found = {name: self._sealed(name, column, seqs) for name, seqs in wanted.items()}
        return [r.value if r.segment_id is None else found[r.segment_id][r.seq] for r in rows]

    def _sealed(self, segment_id: str, column: Column, seqs: Sequence[int]) -> dict[int, bytes]:
        with self.database.read() as session:
            place = session.scalar(select(SegmentRow.place).where(SegmentRow.id == segment_id))
        assert self.segments is not None, "a sealed frame in a store that was opened without its segments"
        if place is None:
            raise UnknownJob(f"of segment {segment_id}")
        return self.segments.read(place, segment_id, column, seqs)


_KEY_ALONE = [load_only(FrameRow.seq)]


def _parts(value: Any, *others: Any) -> Any:
    """Returns a selection of frames that `FrameStore._filled` can fill: ``value`` is the column to fill."""
    return select(FrameRow.attempt, FrameRow.seq, FrameRow.segment_id, value.label("value"), *others)


def _newest_first(query: Any, job_id: str) -> Any:
    return query.where(FrameRow.job_id == job_id).order_by(FrameRow.attempt.desc(), FrameRow.seq.desc())


def not_gathered(ends: Mapping[int, int]) -> ColumnElement[bool]:
    """Whether a frame lies behind its attempt's last chunk; ``ends`` has the last ``seq`` of each attempt's."""
    behind = [and_(FrameRow.attempt == attempt, FrameRow.seq > last) for attempt, last in ends.items()]
    return or_(FrameRow.attempt.not_in(ends), *behind)


def _row(job_id: str, header: Header, scalars: Scalars, blob: bytes) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "attempt": header.attempt,
        "seq": header.seq,
        "step": header.step,
        "at_s": header.time_s,
        "size_bytes": len(blob),
        "scalars": encode_scalars(scalars),
        "blob": blob,
    }


def add_many(session: Session, job_id: str, blobs: Iterable[bytes]) -> int:
    """Adds frames to a job that nobody else writes to, in batches; returns how many there were.

    Args:
        session: the transaction.
        job_id: a job that has no frames yet.
        blobs: well-formed frames of it, in the order of (attempt, seq).
    """
    total, waiting_bytes = 0, 0
    rows: list[dict[str, Any]] = []

    def flush() -> None:
        nonlocal waiting_bytes
        session.execute(insert(FrameRow), rows)
        for row in rows:
            if (row["seq"] + 1) % CHUNK_FRAMES == 0:
                _gather(session, job_id, row["attempt"], row["seq"])
        rows.clear()
        waiting_bytes = 0

    for blob in blobs:
        header = read_header(blob)
        rows.append(_row(job_id, header, read_scalars(blob), blob))
        total += 1
        waiting_bytes += len(blob)
        if len(rows) >= CHUNK_FRAMES or waiting_bytes > _BATCH_BYTES:
            flush()
    if rows:
        flush()
    return total


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
    # A frame that is missing, or sealed before it was gathered, leaves these to the tail of `FrameStore.history`.
    if len(blobs) != last_seq - first_seq or not all(blobs):
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

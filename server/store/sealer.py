"""Sealing: old frames move from the database into Parquet segments; nothing is lost or there twice at any point.

The steps of one segment, and what a crash after each leaves behind:

1. A row in ``segments`` says that the file is being written.     The row; :meth:`Sealer.sweep` removes it.
2. The file is written, compared, synced, renamed into place.      Row and file; the sweep removes both.
3. One transaction empties the frames' rows, names the segment     The sealed state: rows point to the file,
   in them and marks its row as sealed.                            which is complete and never changes.

Step 3 happens only while the row of step 1 is still there and every frame is as it was read. So a sweep that
takes a slow writer for a dead one makes it give up; it never takes a file away that rows point to. A job's
deletion leaves its segments' rows without a job, and they are swept too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, takewhile
from typing import Any

import structlog
from sqlalchemy import delete, func, insert, or_, select, update
from uuid_utils import uuid7

from server.store.database import Database, locking
from server.store.segments import ROW_GROUP_BYTES, ROW_GROUP_FRAMES, SealedFrame, Segments
from server.store.tables import FrameRow, JobRow, SegmentRow
from sm3.remote.wire import JobState

MAX_SEGMENT_BYTES = 64 * 2**20
MAX_SEGMENT_FRAMES = 4096
ABANDONED_S = 3600.0
_LOG = structlog.get_logger()
_ENDS = [state.value for state in JobState if state.is_final]


@dataclass(frozen=True)
class Rule:
    """Which frames are old.

    Attributes:
        after_s: frames made longer ago are, in seconds.
        ended_after_s: all frames of a job that ended longer ago are.
        keep_frames: so many newest ones of each job stay in the database all the same.
        min_frames: of a job that has not ended, fewer are not worth a segment yet.
    """

    after_s: float = 86_400.0
    ended_after_s: float = 3_600.0
    keep_frames: int = 256
    min_frames: int = 256


@dataclass(frozen=True)
class Batch:
    """Frames that will make one segment: one job, one attempt, ascending ``seqs``; ``sizes`` in bytes."""

    job_id: str
    attempt: int
    seqs: Sequence[int]
    sizes: Sequence[int]

    def groups(self) -> Iterator[tuple[int, ...]]:
        """Yields the seqs in groups of about `ROW_GROUP_BYTES`."""
        group: list[int] = []
        group_bytes = 0
        for seq, size in zip(self.seqs, self.sizes, strict=True):
            if group and (group_bytes + size > ROW_GROUP_BYTES or len(group) == ROW_GROUP_FRAMES):
                yield tuple(group)
                group, group_bytes = [], 0
            group.append(seq)
            group_bytes += size
        if group:
            yield tuple(group)


class Changed(Exception):  # noqa: N818 - reads as what it is
    """What was being sealed changed under way; nothing was sealed."""


@dataclass(frozen=True)
class Sealer:
    """Moves old frames into segments.

    Args:
        database: where they are.
        segments: where they go.
        rule: which are old.
        now: Unix time in seconds.
        step: called with the name of each step that is done; what it raises ends the sealing there.
    """

    database: Database
    segments: Segments
    rule: Rule = field(default_factory=Rule)
    now: Callable[[], float] = time.time
    step: Callable[[str], None] = lambda _: None

    def run(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Sweeps, then seals everything that is old; returns how many frames were sealed."""
        self.sweep()
        sealed = 0
        for job_id in self._jobs():
            for batch in self._batches(job_id):
                if stopping():
                    return sealed
                try:
                    self.seal(batch)
                except Changed as change:
                    _LOG.info("not sealed", job=job_id, why=str(change))
                    break
                sealed += len(batch.seqs)
        return sealed

    def seal(self, batch: Batch) -> str:
        """Moves one batch into a segment of its own; returns the segment's id.

        Raises:
            Changed: the job or one of the frames is no more, or has been sealed by another service.
            OSError: the segment could not be written; nothing was sealed.
        """
        segment_id, place = str(uuid7()), self.segments.place
        with self.database.write() as session:
            if session.get(JobRow, batch.job_id, with_for_update=locking(session)) is None:
                raise Changed("the job was deleted")
            values = {"id": segment_id, "job_id": batch.job_id, "place": place, "begun_s": self.now()}
            session.execute(insert(SegmentRow).values(**values, num_frames=0, size_bytes=0, digest=""))
        self.step("announced")
        try:
            written = self.segments.write(segment_id, batch.job_id, self._read(batch))
            self.step("written")
            with self.database.write() as session:
                # The job first: frames of one job are added and sealed one after the other.
                session.get(JobRow, batch.job_id, with_for_update=locking(session))
                mark = update(SegmentRow).where(
                    SegmentRow.id == segment_id, SegmentRow.job_id == batch.job_id
                )
                done = session.execute(mark.values(**written._asdict(), sealed_s=self.now()))
                if _count(done) != 1:
                    raise Changed("its announcement was swept away")
                emptied = update(FrameRow).where(*_of(batch, batch.seqs), FrameRow.segment_id.is_(None))
                done = session.execute(emptied.values(segment_id=segment_id, scalars=b"", blob=b""))
                if _count(done) != len(batch.seqs) or written.num_frames != len(batch.seqs):
                    raise Changed("its frames are no longer what they were")
                self.step("switched")
        except (Changed, OSError):
            self._discard(segment_id, place)
            raise
        self.step("sealed")
        return segment_id

    def sweep(self) -> int:
        """Removes what crashes and deleted jobs left; returns how many segments that was."""
        too_old_s = self.now() - ABANDONED_S
        abandoned = SegmentRow.sealed_s.is_(None) & (SegmentRow.begun_s < too_old_s)
        with self.database.read() as session:
            query = select(SegmentRow.id, SegmentRow.place).where(or_(SegmentRow.job_id.is_(None), abandoned))
            found = session.execute(query).all()
        for segment_id, place in found:
            self._discard(segment_id, place)
        self.segments.sweep(too_old_s)
        return len(found)

    def _discard(self, segment_id: str, place: str) -> None:
        """Forbids that the segment is ever sealed, removes its file, and then its row."""
        with self.database.write() as session:
            row = session.get(SegmentRow, segment_id, with_for_update=locking(session))
            if row is None or (row.job_id is not None and row.sealed_s is not None):
                return
            row.job_id = None
        self.step("disowned")
        self.segments.remove(place, segment_id)
        self.step("removed")
        with self.database.write() as session:
            session.execute(delete(SegmentRow).where(SegmentRow.id == segment_id))

    def _jobs(self) -> Sequence[str]:
        """Returns the jobs that have more unsealed frames than are kept."""
        query = (
            select(FrameRow.job_id)
            .where(FrameRow.segment_id.is_(None))
            .group_by(FrameRow.job_id)
            .having(func.count() > self.rule.keep_frames)
            .order_by(FrameRow.job_id)
        )
        with self.database.read() as session:
            return session.scalars(query).all()

    def _batches(self, job_id: str) -> Iterator[Batch]:
        """Yields what is to be sealed of one job, oldest first."""
        now = self.now()
        with self.database.read() as session:
            job = session.get(JobRow, job_id)
            if job is None:
                return
            ended = job.state in _ENDS and (job.finished_s or 0.0) <= now - self.rule.ended_after_s
            query = (
                select(FrameRow.attempt, FrameRow.seq, FrameRow.size_bytes, FrameRow.at_s)
                .where(FrameRow.job_id == job_id, FrameRow.segment_id.is_(None))
                .order_by(FrameRow.attempt, FrameRow.seq)
            )
            rows = session.execute(query).all()
        rows = rows[: max(0, len(rows) - self.rule.keep_frames)]
        # Up to the first that is not old: workers' clocks jump, and a segment leaves out nothing in its range.
        old = list(takewhile(lambda row: ended or row.at_s <= now - self.rule.after_s, rows))
        if not ended and len(old) < self.rule.min_frames:
            return
        for attempt, frames in groupby(old, key=lambda row: int(row.attempt)):
            yield from _cut(job_id, attempt, [(row.seq, row.size_bytes) for row in frames])

    def _read(self, batch: Batch) -> Iterator[Sequence[SealedFrame]]:
        """Yields the batch's frames, one row group at a time."""
        for seqs in batch.groups():
            query = (
                select(*(getattr(FrameRow, name) for name in SealedFrame._fields))
                .where(*_of(batch, seqs), FrameRow.segment_id.is_(None))
                .order_by(FrameRow.seq)
            )
            with self.database.read() as session:
                frames = [SealedFrame(*row) for row in session.execute(query)]
            if len(frames) != len(seqs):
                raise Changed("its frames are no longer what they were")
            yield frames


def _of(batch: Batch, seqs: Sequence[int]) -> tuple[Any, ...]:
    """Returns the condition that a frame is one of ``seqs``, which are all unsealed ones in their range."""
    return (
        FrameRow.job_id == batch.job_id,
        FrameRow.attempt == batch.attempt,
        FrameRow.seq.between(seqs[0], seqs[-1]),
    )


def _cut(job_id: str, attempt: int, frames: Sequence[tuple[int, int]]) -> Iterator[Batch]:
    """Yields batches of at most `MAX_SEGMENT_BYTES` and `MAX_SEGMENT_FRAMES`."""
    start, total_bytes = 0, 0
    for index, (_, size_bytes) in enumerate(frames):
        full = total_bytes + size_bytes > MAX_SEGMENT_BYTES or index - start == MAX_SEGMENT_FRAMES
        if index > start and full:
            yield Batch(job_id, attempt, *zip(*frames[start:index], strict=True))
            start, total_bytes = index, 0
        total_bytes += size_bytes
    yield Batch(job_id, attempt, *zip(*frames[start:], strict=True))


def _count(result: Any) -> int:
    return int(result.rowcount)

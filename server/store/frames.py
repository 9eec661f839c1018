"""Frames and scalar history.

A frame is stored once under (job, attempt, seq). Its scalar columns are kept beside it and, every
`CHUNK_FRAMES` frames, gathered into chunks in the same transaction (:mod:`server.store.chunks`), job-wide series
apart from those of tensors and tensors apart from each other: reading a history of 10^5 points then costs a few large
reads instead of 10^5 small ones, and that of one tensor does not read all others'.

A sealed frame (:mod:`server.store.sealer`) keeps its row; scalars and blob are then read from its segment. No
caller knows the difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select
from sqlalchemy.orm import Session, load_only

from server.store.chunks import ALL_TENSORS, GLANCE, JOB, bucket_of, glance, is_job_wide
from server.store.database import Database
from server.store.job_rows import StaleAttempt, UnknownJob, check_attempt, row_of
from server.store.recording import CHUNK_FRAMES, advance, frame_row, gather, in_scope
from server.store.segments import Column, Segments
from server.store.tables import FrameRow, JobRow, ScalarChunkRow, SegmentRow
from server.store.tails import Read, Tails
from sm3.remote.frames import Header, Scalars, read_header, read_scalars
from sm3.remote.wire import FrameInfo

__all__ = ["CHUNK_FRAMES", "FrameStore", "StaleAttempt", "StoredFrame"]


@dataclass(frozen=True)
class StoredFrame:
    """A frame as it came in; ``is_new`` is False when it was there before."""

    header: Header
    scalars: Scalars
    blob: bytes
    is_new: bool


@dataclass(frozen=True)
class FrameStore:
    """Stores and reads frames.

    Args:
        database: where they are.
        segments: where sealed ones are; None where nothing is ever sealed.
        now: Unix time in seconds.
        tails: what was read of frames that are not gathered yet.
    """

    database: Database
    segments: Segments | None = None
    now: Callable[[], float] = time.time
    tails: Tails = field(default_factory=Tails, repr=False, compare=False)

    def add(self, job_id: str, blob: bytes) -> StoredFrame:
        """Stores a frame; storing one twice is a no-op. When this returns, the frame is on disk.

        An attempt that goes on from a checkpoint does steps again whose frames an earlier attempt delivered: these are
        the same frames, so they are acknowledged and the first ones kept. A reader sees each step once.

        Raises:
            FrameError: not a well-formed frame.
            UnknownJob: no such job.
            StaleAttempt: the frame is of another attempt than the job's current one.
        """
        header, scalars = read_header(blob), read_scalars(blob)
        with self.database.write() as session:
            job = row_of(session, job_id)
            check_attempt(job, header.attempt)
            if _was_stored(session, job, header):
                return StoredFrame(header, scalars, blob, is_new=False)
            session.execute(insert(FrameRow), [frame_row(job_id, header, scalars, blob)])
            advance(job, header, scalars, self.now())
            if (header.seq + 1) % CHUNK_FRAMES == 0:
                gather(session, job_id, header.attempt, header.seq)
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

    def at_step(self, job_id: str, step: int) -> bytes | None:
        """Returns the newest frame of at most ``step`` steps, the first one if all are of more; None without any.

        Steps are stored once however often an attempt had to do them again, so there is one answer.
        """
        upto = (
            _parts(FrameRow.blob)
            .where(FrameRow.job_id == job_id, FrameRow.step <= step)
            .order_by(FrameRow.step.desc(), FrameRow.attempt.desc(), FrameRow.seq.desc())
            .limit(1)
        )
        first = (
            _parts(FrameRow.blob)
            .where(FrameRow.job_id == job_id)
            .order_by(FrameRow.attempt, FrameRow.seq)
            .limit(1)
        )
        found = self._values("blob", upto) or self._values("blob", first)
        return found[0] if found else None

    def reach(self, job_id: str) -> dict[int, tuple[int, int]]:
        """Returns, for each attempt that stored frames, the steps of its first and of its last."""
        mine = FrameRow.job_id == job_id
        ends = select(FrameRow.attempt, func.min(FrameRow.seq), func.max(FrameRow.seq)).where(mine)
        found: dict[int, tuple[int, int]] = {}
        with self.database.read() as session:
            for attempt, first, last in session.execute(ends.group_by(FrameRow.attempt)).all():
                these = (mine, FrameRow.attempt == attempt, FrameRow.seq.in_((first, last)))
                steps = session.scalars(select(FrameRow.step).where(*these)).all()
                found[attempt] = min(steps), max(steps)
        return found

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
        of_tensors = ScalarChunkRow.scope.not_in((JOB, GLANCE))
        chosen = ScalarChunkRow.scope == JOB if job_wide else of_tensors
        return self._gathered(job_id, chosen, lambda scalars: in_scope(scalars, job_wide=job_wide))

    def tensor_history(self, job_id: str, tensor: str) -> Scalars:
        """Returns all scalar points of one tensor's series, oldest first, without reading those of most others."""
        chosen = ScalarChunkRow.scope.in_((bucket_of(tensor), ALL_TENSORS))

        def own(scalars: Scalars) -> Scalars:
            return scalars.select(name for name in scalars.names if name.partition("/")[2] == tensor)

        return self._gathered(job_id, chosen, own)

    def glance(self, job_id: str, statistics: Collection[str]) -> Scalars:
        """Returns a few points of every tensor's series of ``statistics``, oldest first.

        Of what is gathered, some 8 in 256 frames; the frames behind have all of theirs.
        """

        def wanted(scalars: Scalars) -> Scalars:
            names = (n for n in scalars.names if n.partition("/")[0] in statistics and not is_job_wide(n))
            return scalars.select(names)

        chosen = ScalarChunkRow.scope.in_((GLANCE, ALL_TENSORS))
        return self._gathered(job_id, chosen, wanted, of_chunk=lambda scalars: glance(wanted(scalars)))

    def _gathered(
        self,
        job_id: str,
        chosen: ColumnElement[bool],
        pick: Callable[[Scalars], Scalars],
        of_chunk: Callable[[Scalars], Scalars] | None = None,
    ) -> Scalars:
        """Returns what ``pick`` leaves of the ``chosen`` chunks and of the frames behind all chunks.

        ``of_chunk`` picks from the chunks where these need another choice.
        """
        mine = ScalarChunkRow.job_id == job_id
        with self.database.read() as session:
            found = select(ScalarChunkRow.attempt, func.max(ScalarChunkRow.last_seq)).where(mine)
            rows = session.execute(found.group_by(ScalarChunkRow.attempt)).all()
            ends = {row[0]: row[1] for row in rows}
            chunks = session.execute(
                select(ScalarChunkRow.attempt, ScalarChunkRow.blob)
                .where(mine, chosen)
                .order_by(ScalarChunkRow.attempt, ScalarChunkRow.last_seq)
            ).all()
            keys = session.execute(
                select(FrameRow.attempt, FrameRow.seq)
                .where(FrameRow.job_id == job_id, not_gathered(ends))
                .order_by(FrameRow.attempt, FrameRow.seq)
            ).all()
        # Chunks first, then what is behind them, attempt by attempt.
        parts = [(attempt, (of_chunk or pick)(read_scalars(blob))) for attempt, blob in chunks]
        tail = self.tails.points(
            job_id,
            tuple((row.attempt, row.seq) for row in keys),
            lambda after: self._behind(job_id, ends, after),
        )
        parts += [(attempt, pick(points)) for attempt, points in tail]
        return Scalars.concatenate(part for _, part in sorted(parts, key=lambda part: part[0]))

    def _behind(self, job_id: str, ends: Mapping[int, int], after: tuple[int, int]) -> list[Read]:
        """Returns the frames behind the chunks that end with ``ends``, and behind ``after``."""
        query = (
            _parts(FrameRow.scalars)
            .where(_behind(job_id, after), not_gathered(ends))
            .order_by(FrameRow.attempt, FrameRow.seq)
        )
        with self.database.read() as session:
            rows = session.execute(query).all()
        blobs = self._filled("scalars", rows)
        return [Read((r.attempt, r.seq), read_scalars(blob)) for r, blob in zip(rows, blobs, strict=True)]

    def scalar_parts(self, job_id: str) -> Iterator[tuple[int, Scalars]]:
        """Yields (attempt, points) of all that is there now, oldest first, a few hundred frames at a time.

        No transaction stays open in between: chunks and frames never change. Raises `UnknownJob` if the job is
        deleted under way.
        """
        chunk = ScalarChunkRow
        with self.database.read() as session:
            query = select(chunk.attempt, chunk.first_seq, func.max(chunk.last_seq).label("last_seq"))
            query = query.where(chunk.job_id == job_id).group_by(chunk.attempt, chunk.first_seq)
            chunks = session.execute(query.order_by(chunk.attempt, chunk.first_seq)).all()
            ends = {found.attempt: found.last_seq for found in chunks}
            seqs = select(FrameRow.attempt, FrameRow.seq).where(FrameRow.job_id == job_id, not_gathered(ends))
            tail = session.execute(seqs.order_by(FrameRow.attempt, FrameRow.seq)).all()
        for attempt in sorted({*ends, *(row.attempt for row in tail)}):
            for first in (c.first_seq for c in chunks if c.attempt == attempt):
                these = select(chunk.blob).where(
                    chunk.job_id == job_id,
                    chunk.attempt == attempt,
                    chunk.first_seq == first,
                    chunk.scope != GLANCE,
                )
                with self.database.read() as session:
                    blobs = session.scalars(these.order_by(chunk.scope)).all()
                if not blobs:
                    raise UnknownJob(job_id)
                yield attempt, Scalars.concatenate(map(read_scalars, blobs))
            behind = [row.seq for row in tail if row.attempt == attempt]
            for start in range(0, len(behind), CHUNK_FRAMES):
                first, last = behind[start], behind[min(start + CHUNK_FRAMES, len(behind)) - 1]
                query = _parts(FrameRow.scalars).where(
                    FrameRow.job_id == job_id, FrameRow.attempt == attempt, FrameRow.seq.between(first, last)
                )
                tail_blobs = self._values("scalars", query.order_by(FrameRow.seq))
                yield attempt, Scalars.concatenate(map(read_scalars, tail_blobs))

    def blobs(self, job_id: str, *, until: tuple[int, int]) -> Iterator[tuple[int, int, bytes]]:
        """Yields (attempt, seq, blob) of the frames up to and with ``until``, oldest first, a few MiB at a time."""
        after = (-1, -1)
        while after < until:
            ahead, _ = self.page(job_id, after=after, limit=_READ_FRAMES)
            if not ahead:
                return
            sums = accumulate(info.size_bytes for info in ahead)
            count = max(1, sum(total <= _READ_BYTES for total in sums))
            query = _parts(FrameRow.blob).where(_behind(job_id, after))
            query = query.order_by(FrameRow.attempt, FrameRow.seq).limit(count)
            with self.database.read() as session:
                rows = session.execute(query).all()
            for row, blob in zip(rows, self._filled("blob", rows), strict=True):
                after = (row.attempt, row.seq)
                if after > until:
                    return
                yield row.attempt, row.seq, blob

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


_READ_FRAMES, _READ_BYTES = 256, 8 * 2**20
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


def _behind(job_id: str, after: tuple[int, int]) -> ColumnElement[bool]:
    """Whether a frame is the job's and comes behind (attempt, seq) ``after``."""
    attempt, seq = after
    later = (FrameRow.attempt > attempt) | ((FrameRow.attempt == attempt) & (FrameRow.seq > seq))
    return and_(FrameRow.job_id == job_id, later)


def _was_stored(session: Session, job: JobRow, header: Header) -> bool:
    """Whether a frame, or an earlier attempt's frame of the same step or a later one, is there already."""
    is_repeated = header.attempt > 0 and header.step <= job.base_step
    key = (job.id, header.attempt, header.seq)
    return is_repeated or session.get(FrameRow, key, options=_KEY_ALONE) is not None

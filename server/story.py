"""The life of a job as a stream of events: what the store has, then what is published, then the store again.

A reader is a position. Whatever happens (a change of state, a ring that moved on, another process), it goes back to
the store from there, so that nothing comes twice and nothing that is stored is left out. All readers at one position
share one answer of the store (`hub.Channel.once`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from server.events import Format, Position, missing
from server.hub import Cursor, Published, TooManyViewers
from server.service import Service
from server.store import UnknownJob
from server.store.frames import StoredFrame
from sm3.remote.wire import GapReason, JobState

PAGE_FRAMES = 200
CHUNK_BYTES = 64 * 1024
_LOG = structlog.get_logger()


@dataclass(frozen=True)
class Page:
    """What the store has behind a position: encoded events, and the position behind them.

    ``ended``: the job is in its final state and all of its story was told; ``complete``: nothing more is stored now.
    """

    chunks: tuple[bytes, ...]
    position: Position
    complete: bool
    ended: bool
    state: JobState


@dataclass(frozen=True)
class Story:
    """One reader's stream.

    Args:
        here: the running service.
        job_id: the job.
        position: what the reader has seen.
        format: how events are written.
        follow: go on with what comes, until the job has ended; otherwise end with what is there.
        catch_up: a reader that falls behind gets what it missed from the store; otherwise a ``gap`` and the newest.
    """

    here: Service
    job_id: str
    position: Position
    format: Format
    follow: bool = True
    catch_up: bool = True

    async def tell(self) -> AsyncIterator[bytes]:
        """Yields encoded events."""
        try:
            with self.here.hub.watch(self.job_id) as cursor:
                async for chunk in self._tell(cursor):
                    yield chunk
        except (SQLAlchemyError, TooManyViewers) as error:
            # The reader sees the stream break off without `end`, and comes back with its id.
            _LOG.warning("a stream of events broke off", job=self.job_id, error=str(error))

    async def _tell(self, cursor: Cursor) -> AsyncIterator[bytes]:
        at = self.position
        while not self.here.stopping.is_set():
            try:
                page = await cursor.channel.once((at, self.format), partial(self.read, at))
            except UnknownJob:
                yield self.format.end(at, None, final=True)
                return
            for chunk in page.chunks:
                yield chunk
            at = page.position
            if page.ended:
                return
            if not page.complete:
                continue
            if not self.follow:
                yield self.format.end(at, page.state, final=False)
                return
            async for reached, chunk in self._fresh(cursor, at):
                at = reached
                yield chunk

    def read(self, at: Position) -> Page:
        """Returns the next page of what is stored behind ``at``: the first state, frames, then later states."""
        # The job is looked at first: what is stored until it has ended is part of the story.
        job = self.here.jobs.get(self.job_id)
        changes = self.here.jobs.transitions(self.job_id, after=at.transition)
        written: list[bytes] = []
        if at.transition < 0 and changes:
            at = at._replace(transition=changes[0].number)
            written.append(self.format.state(at, changes[0]))
        frames = self.here.frames.points(self.job_id, after=at.frame, limit=PAGE_FRAMES)
        for attempt, seq, step, scalars in frames:
            if lacking := missing(at, attempt, seq):
                at = Position(at.transition, attempt, lacking[1])
                written.append(self.format.gap(at, *lacking, GapReason.ABSENT))
            at = Position(at.transition, attempt, seq)
            written.append(self.format.frame(at, step, scalars))
        complete = len(frames) < PAGE_FRAMES
        if complete:
            for change in changes:
                if change.number > at.transition:
                    at = at._replace(transition=change.number)
                    written.append(self.format.state(at, change))
            if job.state.is_final:
                written.append(self.format.end(at, job.state, final=True))
        return Page(tuple(_joined(written)), at, complete, complete and job.state.is_final, job.state)

    async def _fresh(self, cursor: Cursor, at: Position) -> AsyncIterator[tuple[Position, bytes]]:
        """Yields frames as they are published, until something sends the reader back to the store."""
        while not self.here.stopping.is_set():
            if not await cursor.wait(self.here.settings.heartbeat_s):
                yield at, self.format.heartbeat
                continue
            items, missed = cursor.take()
            if missed:
                if not self.catch_up and (leap := self._leap(items, at)):
                    yield leap
                return
            for item in items:
                if not isinstance(item.item, StoredFrame):
                    return
                header = item.item.header
                if (header.attempt, header.seq) <= at.frame:
                    continue
                if (header.attempt, header.seq) != (at.attempt, at.seq + 1):
                    return
                at = at._replace(seq=header.seq)
                yield at, self._encoded(item, at)

    def _encoded(self, published: Published, at: Position) -> bytes:
        """Returns a published frame's event: written once for all readers that know the same states."""
        assert isinstance(published.item, StoredFrame)
        key = (self.format, at.transition)
        if key not in published.encoded:
            published.encoded[key] = self.format.frame(at, published.item.header.step, published.item.scalars)
        return published.encoded[key]

    def _leap(self, items: list[Published], at: Position) -> tuple[Position, bytes] | None:
        """Returns the position before the oldest frame of the ring, and the gap that leads there."""
        for published in items:
            if isinstance(published.item, StoredFrame):
                header = published.item.header
                first = at.seq + 1 if header.attempt == at.attempt else 0
                to = Position(at.transition, header.attempt, header.seq - 1)
                if (to.attempt, to.seq) <= at.frame or to.seq < first:
                    return None
                return to, self.format.gap(to, first, to.seq, GapReason.SLOW)
        return None


def with_tail(story: Story, newest: int) -> Story:
    """Returns ``story`` as it begins with the ``newest`` frames only; asks the store."""
    attempt, seq = story.here.frames.before_newest(story.job_id, newest)
    return replace(story, position=Position(story.position.transition, attempt, seq))


def _joined(events: list[bytes]) -> list[bytes]:
    """Returns events in chunks of about `CHUNK_BYTES`, so that a long past costs few sends."""
    chunks: list[bytes] = []
    waiting: list[bytes] = []
    size_bytes = 0
    for event in events:
        waiting.append(event)
        size_bytes += len(event)
        if size_bytes >= CHUNK_BYTES:
            chunks.append(b"".join(waiting))
            waiting, size_bytes = [], 0
    if waiting:
        chunks.append(b"".join(waiting))
    return chunks

"""Fan-out of stored frames and job changes to viewers.

One **channel** a job that somebody watches: a bounded ring of items, numbered without gaps. Each viewer is a
**cursor** into it. Publishing costs the same for one viewer and for a thousand and never waits for any; a
viewer that falls out of the ring is told so and goes on with what is there. All of it lives on the event loop.

What viewers need from the store after a change, they all need at once: :meth:`Channel.once` asks it once a
**version** of the channel, however many wait for the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from server.store.frames import StoredFrame
from server.store.marks import Mark, words
from sm3.remote.wire import JobView

RING = 32
_ANSWER_KEPT_S = 0.25
T = TypeVar("T")


@dataclass(frozen=True)
class StoreMoved:
    """Another process changed the job in the store: whoever watches looks there."""


Item = StoredFrame | JobView | StoreMoved


class TooManyViewers(Exception):  # noqa: N818 - reads as what it is
    """No further viewer is let in; the message says which limit was reached."""


@dataclass
class Published:
    """One item of a channel, and what viewers made of it: what is encoded once need not be a thousand times."""

    item: Item
    encoded: dict[Hashable, bytes] = field(default_factory=dict)


@dataclass
class Channel:
    """What was published about one job of late."""

    ring: deque[Published] = field(default_factory=lambda: deque(maxlen=RING))
    published: int = 0
    viewers: int = 0
    waiting: set[asyncio.Future[None]] = field(default_factory=set)
    _answers: dict[Hashable, asyncio.Future[Any]] = field(default_factory=dict)
    _heard: Mark = field(default_factory=lambda: Mark(0, ()))
    _stored: Mark | None = None

    def publish(self, item: Item) -> None:
        """Appends an item and wakes every waiting viewer."""
        self.ring.append(Published(item))
        self.published += 1
        self._answers = {}
        if isinstance(item, StoredFrame):
            self._heard = self._heard._replace(frames=self._heard.frames + 1)
        elif isinstance(item, JobView):
            self._heard = self._heard._replace(words=words(item.state, item.attempt, item.phase))
        self.wake()

    def compare(self, stored: Mark | None) -> None:
        """Publishes `StoreMoved` where the store shows more than was published here, or no job any more.

        Args:
            stored: what the store has now; None if the job is not there.
        """
        before, self._stored = (
            self._stored,
            stored and stored._replace(frames=stored.frames - self._heard.frames),
        )
        if (
            self._stored is None
            or before is None
            or self._stored.frames > before.frames
            or self._stored.words not in {before.words, self._heard.words}
        ):
            self.publish(StoreMoved())

    def wake(self) -> None:
        """Wakes every waiting viewer."""
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)
        self.waiting.clear()

    async def once(self, question: Hashable, ask: Callable[[], T]) -> T:
        """Returns what ``ask`` answers, called in a thread once a version of the channel for all viewers.

        An answer is as new as what was published before the question was put: what is published is stored first.
        """
        answer: asyncio.Future[T] | None = self._answers.get(question)
        if answer is None:
            # A task of its own: the viewer that asked first may leave, the others wait on.
            answer = asyncio.ensure_future(run_in_threadpool(ask))
            answer.add_done_callback(lambda done: self._keep_a_while(question, done))
            self._answers[question] = answer
        return await asyncio.shield(answer)

    def _keep_a_while(self, question: Hashable, answer: asyncio.Future[Any]) -> None:
        """Forgets a failure at once, and an answer soon: it may be large, and nothing new may ever come."""

        def forget() -> None:
            if self._answers.get(question) is answer:
                del self._answers[question]

        if answer.cancelled() or answer.exception() is not None:
            forget()
        else:
            asyncio.get_running_loop().call_later(_ANSWER_KEPT_S, forget)


@dataclass
class Cursor:
    """One viewer's place in a channel."""

    channel: Channel
    position: int

    async def wait(self, timeout_s: float) -> bool:
        """Waits for something new; False if nothing came within ``timeout_s`` seconds."""
        channel = self.channel
        if channel.published == self.position:
            loop = asyncio.get_running_loop()
            woken: asyncio.Future[None] = loop.create_future()
            channel.waiting.add(woken)
            handle = loop.call_later(timeout_s, _resolve, woken)
            try:
                await woken
            finally:
                handle.cancel()
                channel.waiting.discard(woken)
        return channel.published > self.position

    def take(self) -> tuple[list[Published], int]:
        """Returns what is new, oldest first, and how many items this viewer was too slow for."""
        ring = self.channel.ring
        fresh = min(self.channel.published - self.position, len(ring))
        missed = self.channel.published - self.position - fresh
        self.position = self.channel.published
        return [ring[i] for i in range(len(ring) - fresh, len(ring))], missed


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


@dataclass
class Hub:
    """The channels that have viewers.

    Args:
        max_viewers: how many there may be, of all jobs.
        max_viewers_per_job: how many one job may have.
    """

    max_viewers: int = 2000
    max_viewers_per_job: int = 2000
    _channels: dict[str, Channel] = field(default_factory=dict)

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Cursor]:
        """Gives a cursor that sees everything published about ``job_id`` from now on.

        Raises:
            TooManyViewers: a limit is reached.
        """
        self.require_room(job_id)
        channel = self._channels.setdefault(job_id, Channel())
        channel.viewers += 1
        try:
            yield Cursor(channel, channel.published)
        finally:
            channel.viewers -= 1
            if channel.viewers == 0:
                self._channels.pop(job_id, None)

    def require_room(self, job_id: str) -> None:
        """Raises `TooManyViewers` if ``job_id`` or the service has as many as it may."""
        channel = self._channels.get(job_id)
        if channel is not None and channel.viewers >= self.max_viewers_per_job:
            raise TooManyViewers(
                f"this job has {channel.viewers:,} viewers; at most {self.max_viewers_per_job:,} are allowed "
                "(SM3_MAX_VIEWERS_PER_JOB)"
            )
        if self.num_viewers >= self.max_viewers:
            raise TooManyViewers(
                f"the service has {self.num_viewers:,} viewers; at most {self.max_viewers:,} are allowed "
                "(SM3_MAX_VIEWERS)"
            )

    def publish(self, job_id: str, item: Item) -> None:
        """Tells the viewers of ``job_id``; costs nothing where there are none."""
        if (channel := self._channels.get(job_id)) is not None:
            channel.publish(item)

    def wake(self) -> None:
        """Wakes every viewer with nothing new, so that it looks whether to go on."""
        for channel in self._channels.values():
            channel.wake()

    @property
    def watched(self) -> tuple[str, ...]:
        """The ids of the jobs that have viewers."""
        return tuple(self._channels)

    def compare(self, job_id: str, stored: Mark | None) -> None:
        """Tells the viewers of ``job_id`` where the store shows more than they heard (:meth:`Channel.compare`)."""
        if (channel := self._channels.get(job_id)) is not None:
            channel.compare(stored)

    @property
    def num_viewers(self) -> int:
        """How many viewers there are, of all jobs."""
        return sum(channel.viewers for channel in self._channels.values())

    @property
    def held_bytes(self) -> int:
        """Bytes of the frames that are held for viewers."""
        items = [item for channel in list(self._channels.values()) for item in list(channel.ring)]
        return sum(len(item.blob) for item in items if isinstance(item, StoredFrame))

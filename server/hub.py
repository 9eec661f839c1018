"""Fan-out of stored frames and job changes to viewers.

One **channel** a job that somebody watches: a bounded ring of items, numbered without gaps. Each viewer is a
**cursor** into it. Publishing costs the same for one viewer and for a thousand and never waits for any; a
viewer that falls out of the ring is told so and goes on with what is there. All of it lives on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from server.store.frames import StoredFrame
from sm3.remote.wire import JobView

RING = 32
Item = StoredFrame | JobView


@dataclass
class Channel:
    """What was published about one job of late."""

    ring: deque[Item] = field(default_factory=lambda: deque(maxlen=RING))
    published: int = 0
    viewers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, item: Item) -> None:
        """Appends an item and wakes every waiting viewer."""
        self.ring.append(item)
        self.published += 1
        self.wake()

    def wake(self) -> None:
        """Wakes every waiting viewer."""
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass
class Cursor:
    """One viewer's place in a channel."""

    channel: Channel
    position: int

    async def wait(self, timeout_s: float) -> bool:
        """Waits for something new; False if nothing came within ``timeout_s`` seconds."""
        if self.channel.published == self.position:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.channel.changed.wait(), timeout_s)
        return self.channel.published > self.position

    def take(self) -> tuple[list[Item], int]:
        """Returns what is new, oldest first, and how many items this viewer was too slow for."""
        fresh = min(self.channel.published - self.position, len(self.channel.ring))
        missed = self.channel.published - self.position - fresh
        self.position = self.channel.published
        return list(self.channel.ring)[len(self.channel.ring) - fresh :], missed


@dataclass
class Hub:
    """The channels that have viewers."""

    _channels: dict[str, Channel] = field(default_factory=dict)

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Cursor]:
        """Gives a cursor that sees everything published about ``job_id`` from now on."""
        channel = self._channels.setdefault(job_id, Channel())
        channel.viewers += 1
        try:
            yield Cursor(channel, channel.published)
        finally:
            channel.viewers -= 1
            if channel.viewers == 0:
                self._channels.pop(job_id, None)

    def publish(self, job_id: str, item: Item) -> None:
        """Tells the viewers of ``job_id``; costs nothing where there are none."""
        if (channel := self._channels.get(job_id)) is not None:
            channel.publish(item)

    def wake(self) -> None:
        """Wakes every viewer with nothing new, so that it looks whether to go on."""
        for channel in self._channels.values():
            channel.wake()

    @property
    def num_viewers(self) -> int:
        """How many viewers there are, of all jobs."""
        return sum(channel.viewers for channel in self._channels.values())

    @property
    def held_bytes(self) -> int:
        """Bytes of the frames that are held for viewers."""
        items = [item for channel in list(self._channels.values()) for item in list(channel.ring)]
        return sum(len(item.blob) for item in items if isinstance(item, StoredFrame))

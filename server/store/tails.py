"""The scalar points behind a job's last chunk, kept between two questions. No I/O.

A page asks for the job's history, for a tensor's and for a glance at all, and then all of it again every few seconds;
each needs the up to 255 frames that no chunk has gathered yet, and of a model of many tensors each of these names
thousands of series. Frames never change, so what was read once is kept, and only what came since is read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import groupby
from threading import Lock
from typing import NamedTuple

from sm3.remote.frames import Scalars

MAX_BYTES = 64 * 2**20
Key = tuple[int, int]


class Read(NamedTuple):
    """A frame's scalar points, and its key (attempt, seq)."""

    key: Key
    scalars: Scalars


class Tail(NamedTuple):
    """Frames in the order of their keys, and their points by attempt."""

    keys: tuple[Key, ...] = ()
    points: tuple[tuple[int, Scalars], ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of the points, of names none: these are shared."""
        columns = ((part.step, part.series, part.value) for _, part in self.points)
        return sum(column.nbytes for of_part in columns for column in of_part)

    def extended(self, fresh: Iterable[Read]) -> Tail:
        """Returns this tail with frames behind its end."""
        points = dict(self.points)
        keys = list(self.keys)
        for attempt, group in groupby(fresh, key=lambda read: read.key[0]):
            frames = list(group)
            keys += [read.key for read in frames]
            before = [points[attempt]] if attempt in points else []
            points[attempt] = Scalars.concatenate([*before, *(read.scalars for read in frames)])
        return Tail(tuple(keys), tuple(points.items()))


class Tails:
    """The tails of the jobs that were asked for last, as many as ``max_bytes`` hold."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, Tail] = OrderedDict()
        self._lock = Lock()

    def points(
        self, job_id: str, keys: tuple[Key, ...], read: Callable[[Key], Iterable[Read]]
    ) -> tuple[tuple[int, Scalars], ...]:
        """Returns (attempt, points) of the frames behind a job's chunks.

        Args:
            job_id: the job.
            keys: the keys of these frames, ascending.
            read: reads those of them behind a key, in the same order; (-1, -1) stands before all.
        """
        with self._lock:
            tail = self._kept.get(job_id, Tail())
        if keys[: len(tail.keys)] != tail.keys:
            tail = Tail()  # a chunk took its beginning
        if len(keys) > len(tail.keys):
            tail = tail.extended(read(tail.keys[-1] if tail.keys else (-1, -1)))
            self._keep(job_id, tail)
        return tail.points

    def _keep(self, job_id: str, tail: Tail) -> None:
        with self._lock:
            self._kept[job_id] = tail
            self._kept.move_to_end(job_id)
            total = sum(kept.size_bytes for kept in self._kept.values())
            while total > self._max_bytes:
                _, dropped = self._kept.popitem(last=False)
                total -= dropped.size_bytes

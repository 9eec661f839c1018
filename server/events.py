"""What a stream of events says, and how each event is written: as SSE or as a line of JSON. No I/O.

Vocabulary:

* **position**: what a reader has seen: the newest change of state and the newest frame. Its text is the event's id,
  so a reader that comes back with it goes on exactly there.
* **event**: ``state``, ``frame``, ``gap`` or ``end``, the position behind it, and its JSON.
"""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import NamedTuple

from sse_starlette import ServerSentEvent

from server.store.chunks import is_job_wide
from sm3.remote.frames import Scalars
from sm3.remote.wire import EndEvent, FrameEvent, Gap, GapReason, JobState, Points, Transition

ID_PATTERN = r"^-?\d{1,9}:-?\d{1,9}:-?\d{1,18}$"


class PointsMode(StrEnum):
    """Which scalar points an event of a frame carries beside the newest values of the job's own series."""

    LATEST = "latest"
    JOB = "job"
    ALL = "all"


class Position(NamedTuple):
    """What a reader has seen: -1 where nothing."""

    transition: int = -1
    attempt: int = -1
    seq: int = -1

    @classmethod
    def parse(cls, text: str) -> Position:
        """Returns the position whose id is ``text``, which matches `ID_PATTERN`."""
        return cls(*map(int, text.split(":")))

    @property
    def frame(self) -> tuple[int, int]:
        """The newest frame seen."""
        return self.attempt, self.seq

    def __str__(self) -> str:
        return f"{self.transition}:{self.attempt}:{self.seq}"


class Format(NamedTuple):
    """How events are written: ``sse`` or not (a line of JSON each), and which points a frame's event carries."""

    sse: bool
    points: PointsMode = PointsMode.LATEST

    def state(self, at: Position, change: Transition) -> bytes:
        """Returns a change of state."""
        return self._event("state", at, change.model_dump_json())

    def frame(self, at: Position, step: int, scalars: Scalars) -> bytes:
        """Returns a stored frame."""
        event = FrameEvent(
            attempt=at.attempt,
            seq=at.seq,
            step=step,
            scalars={n: _finite(v) for n, v in scalars.latest().items() if is_job_wide(n)},
            points=self._points(scalars),
        )
        return self._event("frame", at, event.model_dump_json(exclude=self._unasked))

    def gap(self, at: Position, first: int, last: int, reason: GapReason) -> bytes:
        """Returns that frames ``first`` to ``last`` of the position's attempt do not come."""
        gap = Gap(attempt=at.attempt, first=first, last=last, reason=reason)
        return self._event("gap", at, gap.model_dump_json(exclude={"type"}))

    def end(self, at: Position, state: JobState | None, *, final: bool) -> bytes:
        """Returns the last event."""
        return self._event("end", at, EndEvent(state=state, final=final).model_dump_json())

    @property
    def heartbeat(self) -> bytes:
        """What shows a reader that the connection is well: nothing to parse."""
        return b": well\r\n\r\n" if self.sse else b"\n"

    @property
    def _unasked(self) -> set[str]:
        return {"points"} if self.points is PointsMode.LATEST else set()

    def _points(self, scalars: Scalars) -> dict[str, Points] | None:
        if self.points is PointsMode.LATEST:
            return None
        return {
            name: Points(steps=tuple(steps.tolist()), values=tuple(map(_finite, values.tolist())))
            for name, (steps, values) in scalars.by_series().items()
            if self.points is PointsMode.ALL or is_job_wide(name)
        }

    def _event(self, name: str, at: Position, data: str) -> bytes:
        if self.sse:
            return ServerSentEvent(data, event=name, id=str(at)).encode()
        return f'{{"event":"{name}","id":{json.dumps(str(at))},"data":{data}}}\n'.encode()


def missing(seen: Position, attempt: int, seq: int) -> tuple[int, int] | None:
    """Returns the first and last frame that is not there between what was seen and the next frame; None if all are.

    A later attempt may begin where its checkpoint was, so only numbers left out within one attempt, or at the
    beginning of the first, are known to be missing.
    """
    first = seen.seq + 1 if attempt == seen.attempt else 0
    known = attempt == seen.attempt or (seen.attempt < 0 and attempt == 0)
    return (first, seq - 1) if known and seq > first else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

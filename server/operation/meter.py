"""Rates out of counters: how much a second came in, and how busy the processors were, over the last seconds."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import psutil

WINDOW_S = 10.0
_SPACING_S = 1.0


class Reading(NamedTuple):
    """Counters at one moment.

    Attributes:
        at_s: monotonic seconds.
        frames: new frames so far.
        num_bytes: their bytes.
        busy_s: processor seconds that all cores of the machine worked.
        own_s: processor seconds that this process worked.
    """

    at_s: float
    frames: float
    num_bytes: float
    busy_s: float
    own_s: float


@dataclass(frozen=True)
class Rates:
    """What happened a second, on average over ``window_s``; shares are of one core."""

    window_s: float
    frames_per_s: float
    bytes_per_s: float
    busy_cores: float
    own_cores: float


@dataclass
class Meter:
    """Keeps a few readings, so that whoever asks is told about the last ten seconds, however often others ask.

    The first reading is taken when the meter is made. Where nobody asked for long, the window reaches back to the last
    who did.

    Args:
        read: takes a reading.
    """

    read: Callable[[], Reading]
    _readings: deque[Reading] = field(default_factory=deque)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._readings.append(self.read())

    def rates(self) -> Rates:
        """Returns the rates up to now."""
        with self._one_at_a_time:
            now = self.read()
            while len(self._readings) > 1 and now.at_s - self._readings[1].at_s >= WINDOW_S:
                self._readings.popleft()
            since = self._readings[0]
            if now.at_s - self._readings[-1].at_s >= _SPACING_S:
                self._readings.append(now)
        window_s = max(now.at_s - since.at_s, 1e-3)
        return Rates(
            window_s,
            (now.frames - since.frames) / window_s,
            (now.num_bytes - since.num_bytes) / window_s,
            max(0.0, now.busy_s - since.busy_s) / window_s,
            max(0.0, now.own_s - since.own_s) / window_s,
        )


def processor_seconds() -> tuple[float, float]:
    """Returns how long all cores of the machine, and this process, have worked, in processor seconds."""
    machine = psutil.cpu_times()
    idle_s = machine.idle + getattr(machine, "iowait", 0.0)
    # guest time stands in user time already
    busy_s = sum(machine) - idle_s - getattr(machine, "guest", 0.0) - getattr(machine, "guest_nice", 0.0)
    own = psutil.Process().cpu_times()
    return busy_s, own.user + own.system

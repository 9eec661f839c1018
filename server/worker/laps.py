"""Where a step's time goes: forward, backward, optimizer, probes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

import torch


class Laps:
    """Seconds spent in each part of a step, as means a step since the last frame.

    On the CPU every step counts. On CUDA only steps that are counted do, for each lap there waits for the device.

    Args:
        device: where the work is done.
        clock: monotonic seconds.
    """

    def __init__(self, device: torch.device, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._device = device
        self._clock = clock
        self._on = False
        self._since_s = 0.0
        self._total_s: defaultdict[str, float] = defaultdict(float)
        self._count: defaultdict[str, int] = defaultdict(int)

    def start(self, *, counted: bool) -> None:
        """Begins the first lap of a step, or of one more part of it."""
        self._on = counted or self._device.type == "cpu"
        self._since_s = self._now() if self._on else 0.0

    def end(self, part: str) -> None:
        """Ends a lap, books it under ``part`` and begins the next."""
        if self._on:
            now_s = self._now()
            self._total_s[part] += now_s - self._since_s
            self._since_s = now_s
            self._count[part] += 1

    def means(self) -> dict[str, float]:
        """Returns seconds a step by part, and starts anew. A part with several laps a step is their sum."""
        steps = max(1, self._count["forward_s"])
        means = {part: total_s / steps for part, total_s in self._total_s.items()}
        self._total_s.clear()
        self._count.clear()
        return means

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return self._clock()

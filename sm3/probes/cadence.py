"""When a probe is read: every k steps, or ever more rarely."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log
from typing import Protocol


class Cadence(Protocol):
    """Which steps, counted from 1, are due. Pure: a resumed run is due where an undisturbed one is."""

    def is_due(self, step: int) -> bool:
        """Whether ``step`` is due."""
        ...


@dataclass(frozen=True)
class Every:
    """The first step, and every ``steps``-th.

    Raises:
        ValueError: ``steps`` is below 1.
    """

    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a cadence of every {self.steps} steps; at least 1 is allowed")

    def is_due(self, step: int) -> bool:
        """Whether ``step`` is 1 or a multiple."""
        return step == 1 or step % self.steps == 0


@dataclass(frozen=True)
class Geometric:
    """The first step, then each that first reaches the next power of ``ratio``: about log(steps)/log(ratio) in all.

    Raises:
        ValueError: ``ratio`` is not above 1.
    """

    ratio: float = 1.2

    def __post_init__(self) -> None:
        if not self.ratio > 1:
            raise ValueError(f"a geometric cadence with ratio {self.ratio}; it must be above 1")

    def is_due(self, step: int) -> bool:
        """Whether a power of the ratio lies in (step − 1, step]."""
        return step == 1 or self._powers(step) > self._powers(step - 1)

    def _powers(self, step: int) -> int:
        power = floor(log(step) / log(self.ratio))
        # The logarithm of an exact power may come out a little short.
        return power + 1 if self.ratio ** (power + 1) <= step else power

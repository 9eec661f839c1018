"""One choice for each tensor, least cost within a budget: the multiple-choice knapsack. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FRONTIER = 4096
"""Most partial choices kept; beyond, of those that lie close in bytes only the cheapest is."""


@dataclass(frozen=True)
class Option:
    """One way to serve one tensor.

    Attributes:
        num_bytes: what it takes of the budget.
        cost: what is minimised; at least 0.
    """

    num_bytes: int
    cost: float


@dataclass(frozen=True)
class _Partial:
    num_bytes: int
    cost: float
    last: int = -1
    before: _Partial | None = None


def choose(tensors: Sequence[Sequence[Option]], budget_bytes: int, *, frontier: int = FRONTIER) -> list[int]:
    """Returns the position of the option chosen for each tensor.

    Keeps the Pareto frontier of bytes and cost, tensor by tensor: the exact optimum as long as it has no more than
    ``frontier`` points. Beyond, points are thinned by equal runs of bytes, which can only lose optimality, never
    the budget.

    Args:
        tensors: each tensor's options, at least one.
        budget_bytes: the most that all choices together may take.
        frontier: points kept.

    Raises:
        ValueError: even the smallest options take more.
    """
    least = [min(option.num_bytes for option in options) for options in tensors]
    if sum(least) > budget_bytes:
        raise ValueError(
            f"a budget of {budget_bytes:,} bytes; the smallest choice for each tensor takes {sum(least):,}: give "
            "at least that"
        )
    still_needed = sum(least)
    points = [_Partial(0, 0.0)]
    for options, smallest in zip(tensors, least, strict=True):
        still_needed -= smallest
        grown = [
            _Partial(point.num_bytes + option.num_bytes, point.cost + option.cost, k, point)
            for point in points
            for k, option in enumerate(options)
            if point.num_bytes + option.num_bytes + still_needed <= budget_bytes
        ]
        points = _thinned(_pareto(grown), frontier)
    best: _Partial | None = min(points, key=lambda point: (point.cost, point.num_bytes))
    chosen = []
    while best is not None and best.last >= 0:
        chosen.append(best.last)
        best = best.before
    return chosen[::-1]


def _pareto(points: list[_Partial]) -> list[_Partial]:
    """The points that no other beats in both bytes and cost, by bytes."""
    kept: list[_Partial] = []
    for point in sorted(points, key=lambda p: (p.num_bytes, p.cost)):
        if not kept or point.cost < kept[-1].cost:
            kept.append(point)
    return kept


def _thinned(points: list[_Partial], most: int) -> list[_Partial]:
    """At most ``most`` of points sorted by bytes: of each run of bytes the cheapest, and the smallest of all."""
    if len(points) <= most:
        return points
    low, high = points[0].num_bytes, points[-1].num_bytes
    width = (high - low) / max(most - 2, 1)
    cheapest = {
        int((point.num_bytes - low) / width): point for point in points
    }  # the last of a run is cheapest
    kept = list(cheapest.values())
    return kept if kept[0] is points[0] or len(kept) == most else [points[0], *kept]

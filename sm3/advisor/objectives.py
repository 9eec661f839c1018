"""What a choice of covers may minimise. No torch.

Each objective turns one tensor's measured tightness under one cover into a cost; costs of tensors add. Which of them
deserves trust is an empirical question: docs/covers.md has the races that were run to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isnan


def _weighted(part: str, power: int) -> Callable[[int, Mapping[str, float]], float]:
    def cost(size: int, tightness: Mapping[str, float]) -> float:
        value = tightness.get(part, 0.0)
        if isnan(value):
            return 0.0 if tightness.get("zero") == 1.0 else inf
        return size * max(value, 0.0) ** power

    return cost


OBJECTIVES: dict[str, Callable[[int, Mapping[str, float]], float]] = {
    "spread": _weighted("spread", 2),
    "level": _weighted("level", 1),
    "p99": _weighted("p99", 1),
}
"""Name to cost, given a tensor's number of entries and its tightness summary in bits.

``spread``: entries × spread², the squared error of the log rate that one factor a tensor cannot absorb; ``level``:
entries × median; ``p99``: entries × the 99 % quantile. A tensor that no gradient has touched costs
nothing; one whose tightness could not be measured is given to any other cover.
"""
DEFAULT_OBJECTIVE = "spread"

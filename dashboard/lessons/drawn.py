"""Gradients for lessons, drawn from a seed: inputs like a class's own, never results."""

from __future__ import annotations

from random import Random

PATTERNS = {
    "rows": "rows differ",
    "patches": "2 × 2 patches differ",
    "even": "all entries alike",
}
_WIDEST = 6.0
_NARROWEST = 0.6


def gradients(pattern: str, seed: int, shape: tuple[int, int], steps: int) -> list[list[float]]:
    """Returns flat gradients, a step each, of whole numbers from −9 to 9.

    Args:
        pattern: which entries are large together: a key of `PATTERNS`, or "lines", where rows and columns differ.
        seed: the same seed draws the same.
        shape: rows and columns.
        steps: how many.
    """
    random = Random(seed)  # noqa: S311 - no secret
    rows, columns = shape
    row = _scales(random, rows)
    column = [random.choice((0.3, 1, 3)) for _ in range(columns)]
    across = (columns + 1) // 2
    patch = _scales(random, (rows + 1) // 2 * across)

    def scale(i: int, j: int) -> float:
        if pattern == "rows":
            return row[i]
        if pattern == "patches":
            return patch[i // 2 * across + j // 2]
        return 0.6 * row[i] * column[j] if pattern == "lines" else 2.0

    def draw(i: int, j: int) -> float:
        return float(max(-9, min(9, round(random.gauss(0, scale(i, j))))))

    return [[draw(i, j) for i in range(rows) for j in range(columns)] for _ in range(steps)]


def _scales(random: Random, count: int) -> list[float]:
    """Returns ``count`` sizes from small to large, in a drawn order."""
    ratio = (_NARROWEST / _WIDEST) ** (1 / max(1, count - 1))
    found = [_WIDEST * ratio**k for k in range(count)]
    random.shuffle(found)
    return found

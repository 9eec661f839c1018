"""Gradients for lessons, drawn from a seed: inputs like a class's own, never results."""

from __future__ import annotations

from random import Random

PATTERNS = {
    "lines": "rows and columns differ",
    "patches": "2 × 2 patches differ",
    "even": "all entries alike",
}


def gradients(pattern: str, seed: int, shape: tuple[int, int], steps: int) -> list[list[float]]:
    """Returns flat gradients, a step each, of whole numbers from −9 to 9.

    Args:
        pattern: a key of `PATTERNS`: which entries tend to be large together.
        seed: the same seed draws the same.
        shape: rows and columns.
        steps: how many.
    """
    random = Random(seed)  # noqa: S311 - no secret
    rows, columns = shape
    row = [random.choice((0.3, 1, 3)) for _ in range(rows)]
    column = [random.choice((0.3, 1, 3)) for _ in range(columns)]
    patch = {
        (i, j): random.choice((0.1, 1, 8)) for i in range((rows + 1) // 2) for j in range((columns + 1) // 2)
    }

    def scale(i: int, j: int) -> float:
        return {"lines": row[i] * column[j], "patches": patch[i // 2, j // 2], "even": 2.0}[pattern]

    def draw(i: int, j: int) -> float:
        return float(max(-9, min(9, round(random.gauss(0, scale(i, j))))))

    return [[draw(i, j) for i in range(rows) for j in range(columns)] for _ in range(steps)]

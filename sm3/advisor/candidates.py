"""Which covers the advisor considers for a tensor, and the least bytes a model can do with. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod

from sm3.covers import Blocks, Cover, Singletons, Slices, Union, Whole

Shape = tuple[int, ...]

CANDIDATES: tuple[Cover, ...] = (
    Slices(),
    Slices((0,)),
    Slices((1,)),
    Whole(),
    Blocks(64),
    Blocks(16),
    Blocks(8),
    Union(Slices(), Blocks(64)),
    Union(Slices(), Blocks(16)),
    Singletons(),
)


def candidates_for(shape: Shape, candidates: Iterable[Cover] = CANDIDATES) -> list[Cover]:
    """Returns the candidates that can cover ``shape``, none that keeps more numbers than singletons would.

    Tensors of rank 0 and 1 are left to singletons, which keep no more than their own size, or to one number.
    """
    if len(shape) < 2:
        candidates = (Singletons(), Whole())
    found: list[Cover] = []
    for cover in candidates:
        try:
            count = cover.num_accumulators(shape)
        except ValueError:
            continue
        if count <= prod(shape) and all(c != cover for c in found):
            found.append(cover)
    return found or [Singletons()]


def bytes_of(cover: Cover, shape: Shape) -> int:
    """Returns the bytes of the cover's float32 accumulators for a tensor of ``shape``."""
    return 4 * cover.num_accumulators(shape)


def require_budget(
    shapes: Mapping[str, Shape], budget_bytes: int, candidates: Sequence[Cover] = CANDIDATES
) -> None:
    """Raises `ValueError` if even the smallest candidates of all tensors take more than the budget."""
    least = sum(
        min(bytes_of(c, shape) for c in candidates_for(shape, candidates)) for shape in shapes.values()
    )
    if least > budget_bytes:
        raise ValueError(
            f"budget_bytes={budget_bytes:,}; the smallest covers of all {len(shapes)} tensors take {least:,} bytes: "
            "give at least that"
        )

"""Covers and optimizers in a few words."""

from __future__ import annotations

from sm3.remote.cover_specs import BlocksSpec, CoverSpec, ReshapedSpec, SlicesSpec, UnionSpec
from sm3.remote.optimizer_specs import AdviseSpec, OptimizerSpec, Sm3Spec


def cover_words(cover: CoverSpec | AdviseSpec) -> str:
    """Returns a cover in words.

    >>> cover_words(SlicesSpec(dims=(0,)))
    'slices 0'
    >>> cover_words(UnionSpec(members=(SlicesSpec(), BlocksSpec(tile=(8, 4)))))
    'slices ∪ blocks 8×4'
    """
    match cover:
        case SlicesSpec(dims=dims) if dims is not None:
            return f"slices {','.join(map(str, dims))}"
        case BlocksSpec(tile=tile):
            return f"blocks {tile if isinstance(tile, int) else '×'.join(map(str, tile))}"
        case ReshapedSpec(inner=inner):
            return f"reshaped {cover_words(inner)}"
        case UnionSpec(members=members):
            return " ∪ ".join(map(cover_words, members))
        case AdviseSpec(budget_bytes=budget):
            return f"advised ≤ {budget:,} B"
    return cover.kind


def optimizer_words(optimizer: OptimizerSpec) -> str:
    """Returns an optimizer with what is most often changed of it, such as ``sm3 slices, lr 0.1``."""
    cover = f" {cover_words(optimizer.cover)}" if isinstance(optimizer, Sm3Spec) else ""
    rules = f" + {len(optimizer.rules)} rules" if isinstance(optimizer, Sm3Spec) and optimizer.rules else ""
    return f"{optimizer.name}{cover}{rules}, lr {optimizer.lr:g}"

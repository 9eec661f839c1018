"""Covers and optimizers by name; `cover_words.cover_of` reads back the names of those that a person would type."""

from __future__ import annotations

from sm3.remote.cover_specs import BlocksSpec, CoverSpec, ReshapedSpec, SlicesSpec, UnionSpec
from sm3.remote.optimizer_specs import AdviseSpec, OptimizerSpec, Sm3Spec


def cover_name(cover: CoverSpec | AdviseSpec) -> str:
    """Returns what a cover is called.

    >>> cover_name(SlicesSpec(dims=(0,)))
    'rows'
    >>> cover_name(UnionSpec(members=(SlicesSpec(), BlocksSpec(tile=(8, 4)))))
    'slices + blocks 8×4'
    """
    match cover:
        case SlicesSpec(dims=(0,)):
            return "rows"
        case SlicesSpec(dims=(1,) | (-1,)):
            return "columns"
        case SlicesSpec(dims=dims) if dims is not None:
            return f"slices {','.join(map(str, dims))}"
        case BlocksSpec(tile=tile):
            return f"blocks {tile if isinstance(tile, int) else '×'.join(map(str, tile))}"
        case ReshapedSpec(view="square", inner=SlicesSpec(dims=None)):
            return "square"
        case ReshapedSpec(view=view, inner=inner):
            seen = view if isinstance(view, str) else "×".join(map(str, view))
            return f"{cover_name(inner)} of {seen}"
        case UnionSpec(members=members):
            return " + ".join(map(cover_name, members))
        case AdviseSpec(budget_bytes=budget):
            return f"advised ≤ {budget:,} B"
    return cover.kind


def optimizer_name(optimizer: OptimizerSpec) -> str:
    """Returns an optimizer with what is most often changed of it, such as ``sm3 slices, lr 0.1``."""
    cover = f" {cover_name(optimizer.cover)}" if isinstance(optimizer, Sm3Spec) else ""
    rules = f" + {len(optimizer.rules)} rules" if isinstance(optimizer, Sm3Spec) and optimizer.rules else ""
    return f"{optimizer.name}{cover}{rules}, lr {optimizer.lr:g}"

"""The accumulators themselves."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from sm3.covers import Slices
from sm3.probes.base import MAP_BINS, MAX_BINS, SHADOW_BINS, Probe, Reading, max_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.covers import Cover
    from sm3.probes.tracking import Tracked


class Accumulators(Probe):
    """`mu` of every tensor, max-pooled to at most 256 numbers a dim; matrices of shadows to 64, larger ranks to 32.

    For slices, arrays ``accumulators/dim0/NAME``, ``accumulators/dim1/NAME``, …: a viewer expands the bound of
    an entry as the min over them (arXiv 1901.11150, Algorithm SM3-II, line 6), so a heatmap of any matrix costs
    at most 512 numbers, exactly. For other covers ``accumulators/entries/NAME``: the bound of every entry, pooled.

    Kind: array a tensor. Unit: gradient². Cost: one read of `mu`; for other covers than slices one pass over the
    tensor. Memory: none but what it returns.
    """

    name: ClassVar[str] = "accumulators"
    of_shadows: ClassVar[bool] = True

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the pooled accumulators of ``tensors``."""
        reading = Reading()
        for tensor in tensors:
            for part, values in zip(parts(tensor), _values(tensor), strict=True):
                bins = shadow_bins(values.dim()) if tensor.is_shadow else MAX_BINS
                reading.arrays[f"accumulators/{part}/{tensor.name}"] = max_pool(values, bins=bins)
        return reading


def parts(tensor: Tracked) -> tuple[str, ...]:
    """Returns the parts of a tensor's accumulators in a frame: ``dim0``, ``dim1``, … or ``entries``."""
    if tensor.cover is None:
        return ()
    if isinstance(tensor.cover, Slices) and len(tensor.shape) > 1:
        return tuple(f"dim{dim}" for dim in tensor.cover.dims_of(tensor.shape))
    return ("entries",)


def shadow_bins(rank: int) -> int:
    """Returns how many bins a dim an array of ``rank`` dims has of a shadow, of which a frame may hold hundreds."""
    return MAX_BINS if rank < 2 else MAP_BINS if rank == 2 else SHADOW_BINS


def shadow_numbers(cover: Cover, shape: tuple[int, ...]) -> int:
    """Returns how many numbers a frame holds at most of a shadow's accumulators of a tensor of ``shape``."""
    if isinstance(cover, Slices) and len(shape) > 1:
        return sum(min(shape[dim], shadow_bins(1)) for dim in cover.dims_of(shape))
    return prod(min(size, shadow_bins(len(shape))) for size in shape)


def _values(tensor: Tracked) -> tuple[Tensor, ...]:
    if tensor.cover is None:
        return ()
    if isinstance(tensor.cover, Slices) and len(tensor.shape) > 1:
        return tensor.mu
    return (tensor.cover.bound(tensor.mu, tensor.shape),)

"""The squared gradient of the step: what the accumulators were just given."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from sm3.probes.base import MAP_BINS, MAX_BINS, Probe, Reading, max_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.probes.tracking import Tracked

GRID_ENTRIES = 4096
"""Entries up to which a tensor's g² is told as a grid without being in ``truth``: no more numbers than a pooled one."""


class Squares(Probe):
    """g² of the step that is read: the largest and the mean of each slice, and of some tensors a grid.

    Arrays ``squares/dim0/NAME``, ``squares/dim1/NAME``, …: the largest g² of each slice along a dim, max-pooled to 256;
    ``squares/mean0/NAME``, ``squares/mean1/NAME``, …: its mean, of pooled slices the largest mean. g² of an entry is at
    most the least of its slices' largest: the bound that slices would give after this one step. For tensors in
    ``truth``, for vectors, and for what has at most 4,096 entries, ``squares/grid/NAME``: every g², max-pooled to 64 a
    dim (vectors to 256).

    Kind: array a tensor. Unit: gradient². Cost: g² and two reductions of it for each dim. Memory: none kept; a copy of
    the gradient for a moment.
    """

    name: ClassVar[str] = "squares"

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the profiles and grids of ``tensors``."""
        reading = Reading()
        truth = self.watched.truth
        for tensor in tensors:
            if tensor.grad is None or tensor.grad.numel() == 0:
                continue
            square = tensor.grad.detach().float().square()
            for dim in range(square.dim() if square.dim() > 1 else 0):
                largest, mean = _along(square, dim)
                reading.arrays[f"squares/dim{dim}/{tensor.name}"] = max_pool(largest)
                reading.arrays[f"squares/mean{dim}/{tensor.name}"] = max_pool(mean)
            is_small = square.dim() < 2 or prod(tensor.shape) <= GRID_ENTRIES
            if is_small or (truth is not None and tensor.name in truth):
                bins = MAP_BINS if square.dim() > 1 else MAX_BINS
                reading.arrays[f"squares/grid/{tensor.name}"] = max_pool(square, bins=bins)
        return reading


def _along(square: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The largest and the mean of each slice along ``dim``."""
    others = [k for k in range(square.dim()) if k != dim]
    return square.amax(others), square.mean(others)

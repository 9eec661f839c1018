"""The effective learning rate of each row and each column."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sm3.covers import Slices
from sm3.probes.base import Probe, Reading, max_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.probes.tracking import Tracked


class RateProfiles(Probe):
    """Mean effective learning rate `lr/√ν` over the touched entries of each row and each column of a matrix.

    Arrays ``rate_profiles/dim0/NAME`` and ``rate_profiles/dim1/NAME``, max-pooled to 256; 0 where no entry was ever
    touched. A pooled grid of all entries needs no array of its own: it is lr over the root of the pooled bound that
    ``accumulators`` sends.

    Kind: array a tensor. Unit: parameter units per unit of gradient. Cost: a sort of rows and columns under slices;
    else one pass over the tensor. Memory: none kept; the tensor's size for a moment under other covers than slices.
    """

    name: ClassVar[str] = "rate_profiles"

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the profiles of the matrices among ``tensors``."""
        reading = Reading()
        for tensor in tensors:
            if tensor.cover is None or len(tensor.shape) != 2 or 0 in tensor.shape:
                continue
            if isinstance(tensor.cover, Slices) and tensor.cover.dims_of(tensor.shape) == (0, 1):
                rows, cols = tensor.mu
                means = (mean_rates(rows, cols), mean_rates(cols, rows))
            else:
                rate = tensor.cover.bound(tensor.mu, tensor.shape).rsqrt()
                means = (_mean_finite(rate, 1), _mean_finite(rate, 0))
            for dim, mean in enumerate(means):
                reading.arrays[f"rate_profiles/dim{dim}/{tensor.name}"] = max_pool(tensor.lr * mean)
        return reading


def mean_rates(own: Tensor, others: Tensor) -> Tensor:
    """Returns for each i the mean over j of 1/√min(own[i], others[j]) where that is above 0, without the matrix.

    Args:
        own: accumulators of the slices asked about, float32 (m,).
        others: accumulators across them, float32 (n,).

    Returns:
        float32 (m,); 0 where nothing was touched.
    """
    import torch

    ordered = others.double().sort().values
    roots = torch.where(ordered > 0, ordered.rsqrt(), 0.0)
    sums = torch.cat([roots.new_zeros(1), roots.cumsum(0)])
    zeros = (ordered == 0).sum()
    below = torch.searchsorted(ordered, own.double())  # others below own[i] decide the min
    total = sums[below] + (len(others) - below) * own.double().rsqrt()
    touched = len(others) - zeros
    return torch.where((own > 0) & (touched > 0), total / touched.clamp(min=1), 0.0).float()


def _mean_finite(rate: Tensor, dim: int) -> Tensor:
    finite = rate.isfinite()
    return rate.where(finite, 0.0).sum(dim) / finite.sum(dim).clamp(min=1)

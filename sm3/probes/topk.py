"""The largest accumulators."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from sm3.covers import Slices
from sm3.probes.base import Probe, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.covers import Cover
    from sm3.probes.tracking import Tracked


class TopK(Probe):
    """The k largest bounds ν over the entries of each tensor, as in the paper's comparison of the 100 largest.

    Arrays ``topk/bound/NAME`` (k,), largest first, and for tensors in ``truth`` ``topk/truth/NAME``: the k largest
    exact accumulators. arXiv 1901.11150, section 5, compares the two on an embedding.

    Kind: array a tensor. Unit: gradient². Cost: under slices of a matrix, a sort of the accumulators; else one pass.
    Memory: none kept; k² floats under slices, else the tensor's size, for a moment.
    """

    name: ClassVar[str] = "topk"
    of_shadows: ClassVar[bool] = True

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the largest bounds of ``tensors``."""
        reading = Reading()
        truth, k = self.watched.truth, self.settings.k
        for tensor in tensors:
            if tensor.cover is None or prod(tensor.shape) == 0:
                continue
            reading.arrays[f"topk/bound/{tensor.name}"] = largest_bounds(
                tensor.cover, tensor.mu, tensor.shape, k
            )
            if truth is not None and tensor.name in truth and not tensor.is_shadow:
                gamma = truth.gamma(tensor.name).flatten()
                reading.arrays[f"topk/truth/{tensor.name}"] = gamma.topk(min(k, len(gamma))).values
        return reading


def largest_bounds(cover: Cover, mu: tuple[Tensor, ...], shape: tuple[int, ...], k: int) -> Tensor:
    """Returns the min(k, size) largest bounds of a non-empty tensor, largest first, float32.

    Under slices they lie where the k largest accumulators of each dim cross: any other entry is below the k entries
    that share all but one of its accumulators with it and have a larger one there.
    """
    count = min(k, prod(shape))
    if isinstance(cover, Slices) and len(shape) == 2:
        mu = tuple(values.topk(min(k, len(values))).values for values in mu)
        dims = cover.dims_of(shape)
        if len(dims) == 1:
            repeats = shape[1 - dims[0]]
            return mu[0].repeat_interleave(min(repeats, count))[:count]
        return mu[dims.index(0)][:, None].minimum(mu[dims.index(1)]).flatten().topk(count).values
    return cover.bound(mu, shape).flatten().topk(count).values

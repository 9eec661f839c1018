"""Effective learning rates."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from sm3.covers import Slices
from sm3.probes.base import Probe, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.probes.tracking import Tracked

QUANTILES = (0.05, 0.5, 0.95)
SERIES = ("rate_p05", "rate_p50", "rate_p95")


class Rates(Probe):
    """Quantiles over the entries of each tensor of the effective learning rate `lr/√ν`.

    Series ``rate_p05/NAME``, ``rate_p50/NAME``, ``rate_p95/NAME`` over the entries that a gradient has ever
    touched (ν > 0), and ``untouched/NAME``: the share of the others. For slices the quantiles are exact and
    need no matrix: see :func:`bound_quantiles`. For shadows (``rate_p05@LABEL/NAME``, …) they are estimated from
    the sampled entries where a sample is kept.

    Kind: series a tensor. Unit: parameter units per unit of gradient. Cost: sorts Σ dᵢ numbers a tensor; for other
    covers than slices, all entries. Memory: none kept; a few times what it sorts for a moment.
    """

    name: ClassVar[str] = "rates"
    of_shadows: ClassVar[bool] = True

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the quantiles of ``tensors``."""
        reading = Reading()
        for tensor in tensors:
            if tensor.cover is None or prod(tensor.shape) == 0:
                continue
            mu, sample = tensor.mu, self.watched.sample
            size = prod(tensor.shape)
            if tensor.is_shadow and sample is not None and tensor.name in sample.places:
                places = sample.places[tensor.name]
                mu, size = (tensor.cover.bound_at(mu, tensor.shape, places),), len(places)
            elif not (isinstance(tensor.cover, Slices) and len(tensor.shape) > 1):
                mu = (tensor.cover.bound(mu, tensor.shape).flatten(),)
            repeats = size // prod(len(values) for values in mu)
            nu, touched = bound_quantiles(mu, [1 - q for q in QUANTILES])
            rates = tensor.lr / nu.sqrt()
            for series, rate in zip(SERIES, rates, strict=True):
                reading.scalars[f"{series}/{tensor.name}"] = rate
            share = touched.double() * repeats / size
            reading.scalars[f"untouched/{tensor.name}"] = 1 - share
        return reading


def bound_quantiles(mu: Sequence[Tensor], quantiles: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Returns quantiles of ν = min over k of mu[k][iₖ] over all index tuples with ν > 0, without forming ν.

    An entry exceeds t exactly if all of its accumulators do, so the number of entries above t is the product
    over k of the number of accumulators above t; every value that ν takes is one of the accumulators, which
    are therefore the only candidates.

    Args:
        mu: vectors of non-negative numbers, float32; at least one, none empty.
        quantiles: in [0, 1]; q stands for the smallest value with a share of at least q at or below it.

    Returns:
        The quantiles, float32 [len(quantiles)] (NaN if any accumulator is NaN or no entry is above 0), and the
        number of entries with ν > 0, int64 [].
    """
    import torch

    candidates = torch.cat([values.flatten() for values in mu]).sort().values
    above = torch.ones((), dtype=torch.int64, device=candidates.device).expand(len(candidates))
    touched = torch.ones((), dtype=torch.int64, device=candidates.device)
    zero = candidates.new_zeros(1)
    for values in mu:
        ordered = values.flatten().sort().values
        above = above * (len(ordered) - torch.searchsorted(ordered, candidates, right=True))
        touched = touched * (len(ordered) - torch.searchsorted(ordered, zero, right=True).squeeze())
    at_or_below = touched - above
    wanted = torch.tensor(quantiles, dtype=torch.float64, device=candidates.device)
    ranks = (wanted * touched).ceil().long().clamp(min=1)
    places = torch.searchsorted(at_or_below, ranks).clamp(max=len(candidates) - 1)
    found = candidates[places]
    return torch.where((touched == 0) | candidates[-1].isnan(), torch.nan, found), touched

"""Effective learning rates."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from sm3.covers import Slices
from sm3.probes.base import Finished, Probe, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from sm3.probes.base import Array, Watched
    from sm3.probes.tracking import Tracked
    from sm3.remote.record_specs import ProbeSettings

QUANTILES = (0.05, 0.5, 0.95)
SERIES = ("rate_p05", "rate_p50", "rate_p95")
ESTIMATED_FROM = 4096
"""Entries from which quantiles are estimated where they cannot be had exactly at little cost."""


class Rates(Probe):
    """Quantiles over the entries of each tensor of the effective learning rate `lr/√ν`.

    Series ``rate_p05/NAME``, ``rate_p50/NAME``, ``rate_p95/NAME`` over the entries that a gradient has ever
    touched (ν > 0), and ``untouched/NAME``: the share of the others. For slices the quantiles are exact and
    need no matrix: see :func:`bound_quantiles`. Under other covers, tensors of more than 4,096 entries are estimated
    from a sample of as many.

    Kind: series a tensor. Unit: parameter units per unit of gradient. Cost: sorts Σ dᵢ numbers a tensor on the host;
    under other covers than slices, at most 4,096. Memory: 8 bytes a sampled entry, under other covers than slices.
    """

    name: ClassVar[str] = "rates"
    of_shadows: ClassVar[bool] = True

    def __init__(self, watched: Watched | None = None, settings: ProbeSettings | None = None) -> None:
        super().__init__(watched, settings)
        self._places: dict[str, Tensor] = {}

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the accumulators, or a sample of the bound, of ``tensors``."""
        reading = Reading()
        asked: dict[str, tuple[float, int, int]] = {}
        for tensor in tensors:
            size = prod(tensor.shape)
            if tensor.cover is None or size == 0:
                continue
            mu = tensor.mu
            if not (isinstance(tensor.cover, Slices) and len(tensor.shape) > 1):
                places = self._drawn(tensor)
                mu, size = (tensor.cover.bound_at(mu, tensor.shape, places),), len(places)
            asked[tensor.name] = (tensor.lr, size, len(mu))
            reading.raw |= {f"{tensor.name}/{k}": values for k, values in enumerate(mu)}
        reading.finish = partial(_finish, asked)
        return reading

    def _drawn(self, tensor: Tracked) -> Tensor:
        from sm3.probes.sampled import draw

        if tensor.name not in self._places:
            assert tensor.param is not None
            places = draw(tensor.shape, ESTIMATED_FROM, seed=0, name=tensor.name)
            self._places[tensor.name] = places.to(tensor.param.device)
        return self._places[tensor.name]

    @property
    def num_bytes(self) -> int:
        """The places of sampled entries."""
        return sum(places.nbytes for places in self._places.values())


def _finish(asked: Mapping[str, tuple[float, int, int]], raw: Mapping[str, Array]) -> Finished:
    """Quantiles of each tensor, given its learning rate, how many entries stand for it, and its number of vectors."""
    found = Finished()
    for name, (lr, size, vectors) in asked.items():
        mu = [raw[f"{name}/{k}"] for k in range(vectors)]
        nu, touched = bound_quantiles(mu, [1 - q for q in QUANTILES])
        found.scalars |= {f"{s}/{name}": float(r) for s, r in zip(SERIES, lr / np.sqrt(nu), strict=True)}
        repeats = size // prod(map(len, mu))
        found.scalars[f"untouched/{name}"] = 1 - touched * repeats / size
    return found


def bound_quantiles(mu: Sequence[Array], quantiles: Sequence[float]) -> tuple[npt.NDArray[np.float32], int]:
    """Returns quantiles of ν = min over k of mu[k][iₖ] over all index tuples with ν > 0, without forming ν.

    An entry exceeds t exactly if all of its accumulators do, so the number of entries above t is the product
    over k of the number of accumulators above t; every value that ν takes is one of the accumulators, which
    are therefore the only candidates.

    Args:
        mu: vectors of non-negative numbers, float32; at least one, none empty.
        quantiles: in [0, 1]; q stands for the smallest value with a share of at least q at or below it.

    Returns:
        The quantiles, float32 (len(quantiles),) (NaN if any accumulator is NaN or no entry is above 0), and the
        number of entries with ν > 0.
    """
    ordered = [np.sort(values, axis=None) for values in mu]
    candidates = np.sort(np.concatenate(ordered)) if len(ordered) > 1 else ordered[0]
    touched = prod(len(values) - int(np.searchsorted(values, 0.0, side="right")) for values in ordered)
    if touched == 0 or np.isnan(candidates[-1]):
        return np.full(len(quantiles), np.nan, np.float32), touched
    ranks = np.maximum(np.ceil(np.asarray(quantiles) * touched), 1).astype(np.int64)
    if len(ordered) == 1:
        return candidates[len(candidates) - touched + ranks - 1], touched
    above = np.ones(len(candidates), np.int64)
    for values in ordered:
        above *= len(values) - np.searchsorted(values, candidates, side="right")
    places = np.searchsorted(touched - above, ranks)
    return candidates[np.minimum(places, len(candidates) - 1)], touched

"""How far a cover's bound lies above AdaGrad's exact accumulators."""

from __future__ import annotations

from functools import partial
from math import ceil, floor, nan, sqrt
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sm3.probes.base import MAP_BINS, Finished, Probe, Reading, max_pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from sm3.probes.base import Array
    from sm3.probes.tracking import Tracked

WORST = 10
_BINS = 16_384
_UNTOUCHED = -1.0  # below every bit while maps are pooled, so that one touched entry decides its bin


class Tightness(Probe):
    """`log2(ν/γ)` of each tensor: by how many factors of two the bound exceeds the exact Σ g² of AdaGrad.

    ν is the bound after the step, `min over k of mu`; γ the exact accumulator. Of other optimizers than SM3 and AdaGrad
    only shadows are told. 0 bits mean as good as AdaGrad. From the sampled entries, estimates:
    ``tightness_level/NAME`` (median: acts like a smaller learning rate, which tuning absorbs) with its 95 % confidence
    interval ``tightness_level_lo``, ``tightness_level_hi``; ``tightness_spread/NAME`` (standard deviation inside the
    tensor) with ``tightness_spread_lo``, ``tightness_spread_hi``;
    ``tightness_p99/NAME``; ``tightness_zero/NAME``: the share of sampled entries with γ = 0, which count in none of
    the others. For tensors in ``truth`` also, of all entries: ``truth_level``, ``truth_spread``, ``truth_p99``,
    ``truth_worst``, ``truth_zero``, arrays ``tightness/grid/NAME`` (max-pooled to 64 a dim; NaN where no entry was ever
    touched, or none is finite) and
    ``tightness/worst/NAME`` (the 10 worst entries: bits, then the index along each dim).

    Kind: series and array a tensor. Unit: bits. Cost: at a frame, one sort of the sample a tensor; at every step, a
    gather of the sample; whole truth costs a step of AdaGrad's accumulators at every step and two passes at a frame.
    Memory: 12 bytes a sampled entry; whole truth 4 bytes an entry and room for the largest.
    """

    name: ClassVar[str] = "tightness"
    of_shadows: ClassVar[bool] = True

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the tightness of ``tensors`` under their covers."""
        sample, truth = self.watched.sample, self.watched.truth
        whole = {t.name for t in tensors if sample and t.name in sample.places and sample.is_whole(t.name)}
        reading = Reading(finish=partial(_finish, whole))
        for tensor in tensors:
            if tensor.cover is None or not self.watched.compares(tensor) or 0 in tensor.shape:
                continue
            if sample is not None and tensor.name in sample.places:
                nu = tensor.cover.bound_at(tensor.mu, tensor.shape, sample.places[tensor.name])
                reading.raw[f"nu/{tensor.name}"] = nu
                reading.raw[f"gamma/{tensor.name}"] = sample.gamma(tensor.name)
            if truth is not None and tensor.name in truth:
                self._read_whole(reading, tensor, truth.gamma(tensor.name))
        return reading

    def _read_whole(self, reading: Reading, tensor: Tracked, gamma: Tensor) -> None:
        import torch

        assert tensor.cover is not None
        bits = tightness(tensor.cover.bound(tensor.mu, tensor.shape), gamma)
        for part, value in whole_summary(bits).items():
            reading.scalars[f"truth_{part}/{tensor.name}"] = value
        shown = bits.clamp_(min=0.0).nan_to_num_(nan=_UNTOUCHED)
        grid = max_pool(shown, bins=MAP_BINS)
        reading.arrays[f"tightness/grid/{tensor.name}"] = grid.masked_fill(grid == _UNTOUCHED, torch.nan)
        if not tensor.is_shadow:
            reading.arrays[f"tightness/worst/{tensor.name}"] = worst(shown)


def tightness(nu: Tensor, gamma: Tensor) -> Tensor:
    """Returns ``log2(nu/gamma)``, float32 of their shape; NaN where gamma is 0 or either is not finite."""
    import torch

    valid = (gamma > 0) & gamma.isfinite() & (nu > 0) & nu.isfinite()
    return torch.where(valid, nu.log2() - gamma.log2(), torch.nan)


def _finish(whole: set[str], raw: Mapping[str, Array]) -> Finished:
    found = Finished()
    for key, nu in raw.items():
        kind, _, name = key.partition("/")
        if kind == "nu":
            for part, value in summary(nu, raw[f"gamma/{name}"], is_whole=name in whole).items():
                found.scalars[f"tightness_{part}/{name}"] = value
    return found


def summary(nu: Array, gamma: Array, *, is_whole: bool = False) -> dict[str, float]:
    """Returns level, spread, their 95 % confidence intervals, p99 and share of zeros, estimated from a sample.

    The interval of the level is by order statistics (ranks n/2 ± 0.98·√n); that of the spread by the delta method,
    with the sample's own kurtosis. NaN where no sampled entry was touched.

    Args:
        nu: bounds of the sampled entries, float32 (n,).
        gamma: their exact accumulators, float32 (n,).
        is_whole: whether these are all entries, so that nothing is uncertain.
    """
    valid = (gamma > 0) & np.isfinite(gamma) & (nu > 0) & np.isfinite(nu)
    bits = np.sort(np.log2(np.divide(nu[valid], gamma[valid], dtype=np.float64)))
    n = len(bits)
    zero = {"zero": float((gamma == 0).mean())}
    if n == 0:
        return (
            dict.fromkeys(("level", "level_lo", "level_hi", "spread", "spread_lo", "spread_hi", "p99"), nan)
            | zero
        )
    half = 0.0 if is_whole else 0.98 * sqrt(n)
    squares = np.square(bits - bits.mean())
    variance = float(squares.mean())
    spread = sqrt(variance)
    kurtosis = float(np.square(squares).mean()) / variance**2 if variance > 0 else 1.0
    error = 0.0 if is_whole else 1.96 * spread * sqrt(max(kurtosis - 1, 0.0) / (4 * n))
    level = float(bits[(n - 1) // 2] + bits[n // 2]) / 2
    return {
        "level": level,
        "level_lo": level if is_whole else float(bits[max(0, floor((n - 1) / 2 - half))]),
        "level_hi": level if is_whole else float(bits[min(n - 1, ceil((n - 1) / 2 + half))]),
        "spread": spread,
        "spread_lo": max(0.0, spread - error),
        "spread_hi": spread + error,
        "p99": float(bits[ceil(0.99 * (n - 1))]),
        **zero,
    }


def whole_summary(bits: Tensor) -> dict[str, Tensor]:
    """Returns level, spread, p99, the worst and the share of zeros over all entries of a tensor.

    Exact up to 16,384 entries; beyond, level and p99 are read off a histogram of 16,384 bins up to the worst entry.

    Args:
        bits: of :func:`tightness`, any shape.
    """
    import torch

    bits = bits.flatten().clamp(min=0.0)  # a rounding may put γ an ulp above ν
    valid = ~bits.isnan()
    n = valid.sum()
    top = torch.where(valid, bits, -torch.inf).amax().clamp(min=0.0)
    if len(bits) <= _BINS:
        ordered = bits.sort().values
        last = (n - 1).clamp(min=0)
        level = (ordered[last // 2] + ordered[(n // 2).clamp(max=len(bits) - 1)]) / 2
        p99 = ordered[(0.99 * last).ceil().long()]
    else:
        scaled = torch.where(valid, bits * ((_BINS - 1) / top.clamp(min=1e-30)), _BINS).long()
        below = torch.bincount(scaled, minlength=_BINS + 1)[:_BINS].cumsum(0)
        ranks = torch.stack([(n * q).ceil().long().clamp(min=1) for q in (0.5, 0.99)])
        level, p99 = (torch.searchsorted(below, ranks) + 0.5) * (top / (_BINS - 1))
    nothing = n == 0
    return {
        "level": torch.where(nothing, torch.nan, level),
        "spread": _spread(bits, valid, n),
        "p99": torch.where(nothing, torch.nan, p99),
        "worst": torch.where(nothing, torch.nan, top),
        "zero": 1 - n / len(bits),
    }


def worst(bits: Tensor, *, k: int = WORST) -> Tensor:
    """Returns the k largest of ``bits``, none below 0, with their places: float32 (k, 1 + rank), worst first."""
    import torch

    values, flat = bits.flatten().topk(min(k, bits.numel()))
    columns = [values.clamp(min=0.0)]
    for size in reversed(bits.shape):
        columns.insert(1, (flat % size).float())
        flat = flat // size
    return torch.stack(columns, 1)


def _spread(bits: Tensor, valid: Tensor, n: Tensor) -> Tensor:
    """Standard deviation of the valid entries; NaN where there are none."""
    import torch

    count = n.clamp(min=1)
    mean = torch.where(valid, bits, 0.0).sum() / count
    variance = torch.where(valid, bits - mean, 0.0).square().sum() / count
    return torch.where(n == 0, torch.nan, variance.sqrt())

"""How far a cover's bound lies above AdaGrad's exact accumulators."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from sm3.probes.base import SHADOW_BINS, Probe, Reading, max_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.probes.tracking import Tracked

WORST = 10
_BINS = 16_384


class Tightness(Probe):
    """`log2(ν/γ)` of each tensor: by how many factors of two the bound exceeds the exact Σ g² of AdaGrad.

    ν is the bound after the step, `min over k of mu`; γ the exact accumulator. 0 bits mean as good as AdaGrad. From
    the sampled entries, estimates: ``tightness_level/NAME`` (median: acts like a smaller learning rate, which tuning
    absorbs) with its 95 % confidence interval ``tightness_level_lo``, ``tightness_level_hi``; ``tightness_spread/NAME``
    (standard deviation inside the tensor) with ``tightness_spread_lo``, ``tightness_spread_hi``;
    ``tightness_p99/NAME``; ``tightness_zero/NAME``: the share of sampled entries with γ = 0, which count in none of
    the others. For tensors in ``truth`` also, of all entries: ``truth_level``, ``truth_spread``, ``truth_p99``,
    ``truth_worst``, ``truth_zero``, arrays ``tightness/grid/NAME`` (max-pooled to 64 a dim) and
    ``tightness/worst/NAME`` (the 10 worst entries: bits, then the index along each dim).

    Kind: series and array a tensor. Unit: bits. Cost: at a frame, one sort of the sample a tensor; at every step, a
    gather of the sample; whole truth costs a step of AdaGrad's accumulators at every step and two passes at a frame.
    Memory: 12 bytes a sampled entry; whole truth 4 bytes an entry and room for the largest.
    """

    name: ClassVar[str] = "tightness"
    of_shadows: ClassVar[bool] = True

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the tightness of ``tensors`` under their covers."""
        reading = Reading()
        sample, truth = self.watched.sample, self.watched.truth
        for tensor in tensors:
            if tensor.cover is None:
                continue
            if sample is not None and tensor.name in sample.places:
                nu = tensor.cover.bound_at(tensor.mu, tensor.shape, sample.places[tensor.name])
                for part, value in summary(nu, sample.gamma(tensor.name)).items():
                    reading.scalars[f"tightness_{part}/{tensor.name}"] = value
            if truth is not None and tensor.name in truth.names:
                self._read_whole(reading, tensor, truth.gamma(tensor.name))
        return reading

    def _read_whole(self, reading: Reading, tensor: Tracked, gamma: Tensor) -> None:
        assert tensor.cover is not None
        bits = tightness(tensor.cover.bound(tensor.mu, tensor.shape), gamma)
        for part, value in whole_summary(bits).items():
            reading.scalars[f"truth_{part}/{tensor.name}"] = value
        shown = bits.nan_to_num(nan=0.0, neginf=0.0).clamp(min=0.0)
        reading.arrays[f"tightness/grid/{tensor.name}"] = max_pool(shown, bins=SHADOW_BINS)
        if not tensor.is_shadow:
            reading.arrays[f"tightness/worst/{tensor.name}"] = worst(shown)


def tightness(nu: Tensor, gamma: Tensor) -> Tensor:
    """Returns ``log2(nu/gamma)``, float32 of their shape; NaN where gamma is 0 or either is not finite."""
    import torch

    valid = (gamma > 0) & gamma.isfinite() & nu.isfinite()
    return torch.where(valid, nu.log2() - gamma.log2(), torch.nan)


def summary(nu: Tensor, gamma: Tensor) -> dict[str, Tensor]:
    """Returns level, spread, their 95 % confidence intervals, p99 and share of zeros, estimated from a sample.

    The interval of the level is by order statistics (ranks n/2 ± 0.98·√n); that of the spread by the delta method,
    with the sample's own kurtosis. Never waits for the device.

    Args:
        nu: bounds of the sampled entries, float32 (n,).
        gamma: their exact accumulators, float32 (n,).
    """
    bits = tightness(nu, gamma)
    ordered = bits.sort().values  # NaN last
    valid = ~bits.isnan()
    n = valid.sum()
    half = 0.98 * n.sqrt() if n.is_floating_point() else 0.98 * n.double().sqrt()
    centre = (n - 1) / 2

    def at(rank: Tensor) -> Tensor:
        place = rank.clamp(min=0).minimum((n - 1).clamp(min=0)).long()
        return ordered[place]

    spread, spread_error = _spread(bits, valid, n)
    return {
        "level": (at(centre.floor()) + at(centre.ceil())) / 2,
        "level_lo": at((centre - half).floor()),
        "level_hi": at((centre + half).ceil()),
        "spread": spread,
        "spread_lo": (spread - 1.96 * spread_error).clamp(min=0.0),
        "spread_hi": spread + 1.96 * spread_error,
        "p99": at((0.99 * (n - 1)).ceil()),
        "zero": (gamma == 0).float().mean(),
    }


def whole_summary(bits: Tensor) -> dict[str, Tensor]:
    """Returns level, spread, p99, the worst and the share of zeros over all entries of a tensor.

    Exact up to 16,384 entries; beyond, level and p99 are read off a histogram of 16,384 bins up to the worst entry.

    Args:
        bits: of :func:`tightness`, any shape.
    """
    import torch

    bits = bits.flatten()
    valid = ~bits.isnan()
    n = valid.sum()
    top = torch.where(valid, bits, -torch.inf).amax().clamp(min=0.0)
    spread, _ = _spread(bits, valid, n)
    if len(bits) <= _BINS:
        ordered = bits.sort().values
        places = [((n - 1).clamp(min=0) * q).ceil().long() for q in (0.5, 0.99)]
        level, p99 = (ordered[place] for place in places)
    else:
        scaled = torch.where(valid, bits.clamp(min=0.0) * ((_BINS - 1) / top.clamp(min=1e-30)), _BINS).long()
        below = torch.bincount(scaled, minlength=_BINS + 1)[:_BINS].cumsum(0)
        ranks = torch.stack([(n * q).ceil().long().clamp(min=1) for q in (0.5, 0.99)])
        level, p99 = (torch.searchsorted(below, ranks) + 0.5) * (top / (_BINS - 1))
    nothing = n == 0
    return {
        "level": torch.where(nothing, torch.nan, level),
        "spread": spread,
        "p99": torch.where(nothing, torch.nan, p99),
        "worst": torch.where(nothing, torch.nan, top),
        "zero": 1 - n / len(bits),
    }


def worst(bits: Tensor, *, k: int = WORST) -> Tensor:
    """Returns the k largest of ``bits`` with their places: float32 (k, 1 + rank), a row an entry, worst first."""
    import torch

    values, flat = bits.flatten().topk(min(k, bits.numel()))
    columns = [values]
    for size in reversed(bits.shape):
        columns.insert(1, (flat % size).float())
        flat = flat // size
    return torch.stack(columns, 1)


def _spread(bits: Tensor, valid: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation of the valid entries, and its standard error √((kurtosis − 1)/4n)·σ."""
    import torch

    count = n.clamp(min=1)
    mean = torch.where(valid, bits, 0.0).sum() / count
    centred = torch.where(valid, bits - mean, 0.0)
    variance = centred.square().sum() / count
    fourth = centred.pow(4).sum() / count
    excess = (fourth / variance.square().clamp(min=1e-30) - 1).clamp(min=0.0)
    sigma = variance.sqrt()
    error = sigma * (excess / count).sqrt() / sqrt(4.0)
    return torch.where(n == 0, torch.nan, sigma), error

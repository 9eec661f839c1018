"""Bands of a mean: over seeds by Student's t, within one series by a moving-block bootstrap."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from server.student_t import quantile

Floats = npt.NDArray[np.float64]
_RESAMPLES = 2000


def t_band(table: Floats, confidence: float) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Returns mean, half a band and count of the finite numbers of each column; NaN where there are too few.

    Args:
        table: [seeds, points].
        confidence: in (0, 1).
    """
    finite = np.isfinite(table)
    count = finite.sum(0)
    values = np.where(finite, table, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = values.sum(0) / count
        spread = np.where(finite, table - mean, 0.0)
        deviation = np.sqrt((spread**2).sum(0) / (count - 1))
        t = np.array([
            quantile((1 + confidence) / 2, n - 1) if n > 1 else np.nan for n in range(len(table) + 1)
        ])
        return mean, t[count] * deviation / np.sqrt(count), count


def block_bootstrap(values: Floats, confidence: float, *, seed: int = 0) -> tuple[float, float]:
    """Returns how far the mean of ``values`` may lie below (≤ 0) and above what was found.

    Means of 2000 series, each drawn as ⌊n/ℓ⌋ blocks of ℓ = ⌈n^(1/3)⌉ neighbouring values, around their centre.

    Args:
        values: [n], in the order of their steps.
        confidence: in (0, 1).
        seed: of the draws; the same gives the same.
    """
    length = math.ceil(len(values) ** (1 / 3))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    blocks = (sums[length:] - sums[:-length]) / length
    draws = np.random.default_rng(seed).integers(len(blocks), size=(_RESAMPLES, len(values) // length))
    low, high = np.quantile(
        blocks[draws].mean(1) - blocks.mean(), [(1 - confidence) / 2, (1 + confidence) / 2]
    )
    return float(low), float(high)

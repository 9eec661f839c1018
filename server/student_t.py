"""Quantiles of Student's t distribution, so that no statistics package has to be installed for one function."""

from __future__ import annotations

import math

_TINY = 1e-300
_MAX_TERMS = 10_000


def quantile(p: float, degrees: int) -> float:
    """Returns the t with P(T ≤ t) = ``p``, to about 12 digits.

    Args:
        p: in (0, 1).
        degrees: degrees of freedom, at least 1.

    Raises:
        ValueError: an argument is out of its range.
    """
    if not 0 < p < 1 or degrees < 1:
        raise ValueError(f"p {p} and degrees {degrees} given; p must lie in (0, 1) and degrees be at least 1")
    if p <= 0.5:
        return -quantile(1 - p, degrees) if p < 0.5 else 0.0
    low, high = 0.0, 1.0
    while cdf(high, degrees) < p:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:  # until no number lies between them
        low, high = (middle, high) if cdf(middle, degrees) < p else (low, middle)
    return high


def cdf(t: float, degrees: int) -> float:
    """Returns P(T ≤ t) for ``degrees`` degrees of freedom (DLMF 8.17: a regularised incomplete beta)."""
    tail = incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2
    return 1 - tail if t > 0 else tail


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Returns the regularised incomplete beta function I_x(a, b); ``a``, ``b`` > 0, ``x`` in [0, 1].

    By its continued fraction (DLMF 8.17.22) with Lentz's method, where that converges fast: for x below
    (a + 1)/(a + b + 2), and beyond it by I_x(a, b) = 1 − I_{1−x}(b, a).
    """
    if x in {0.0, 1.0}:
        return x
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) / a / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """Returns 1 + d₁/(1 + d₂/(1 + …)) of DLMF 8.17.22."""
    value, numerator, denominator = 1.0, 1.0, 0.0
    for k in range(1, _MAX_TERMS):
        m = k // 2
        if k % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / _away_from_zero(1 + d * denominator)
        numerator = _away_from_zero(1 + d / numerator)
        value *= numerator * denominator
        if abs(numerator * denominator - 1) < 1e-16:
            return value
    raise AssertionError(f"the continued fraction of I_{x}({a}, {b}) does not converge")


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY

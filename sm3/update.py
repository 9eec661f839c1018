"""The SM3 step for any cover, as the paper's algorithms: the definition every kernel is tested against.

Source: Anil, Gupta, Koren, Singer, "Memory-Efficient Adaptive Optimization", algorithms SM3-I and SM3-II.

Legend:
    g         gradient
    mu(r)     accumulator of set r of the cover
    nu(i)     what stands in for AdaGrad's accumulator at entry i
    gamma(i)  Σ g(i)² over all steps: AdaGrad's own accumulator
    eta       learning rate
    beta2     decay of the accumulators; None keeps plain sums

Invariant, for the same gradients and plain sums: gamma ≤ nu_II ≤ nu_I at every entry and step.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sm3.covers.base import Accumulators, Cover

EPSILON = 1e-30
"""Added under the root, as in the authors' code: makes 0/√0 = 0, and is lost in any nu above 1e-22."""


class Variant(StrEnum):
    """The two algorithms of the paper; II is tighter and the default."""

    I = "I"  # noqa: E741 - the paper's name
    II = "II"


def sm3_ii(
    cover: Cover, mu: Accumulators, g: Tensor, *, beta2: float | None = None
) -> tuple[Tensor, Accumulators]:
    """One step of SM3-II: `nu = bound(mu) + g²`, then `mu = reduce(nu)`.

    Keeps `nu ≥ gamma`: by induction every mu(r) is at least gamma(i) for each i in r, hence so is their min.

    Args:
        cover: Covers `g.shape`.
        mu: float32 tensors of `cover.accumulator_shapes(g.shape)`; not written to.
        g: float32 gradient.
        beta2: In [0, 1): moving average `beta2·bound(mu) + (1−beta2)·g²` instead of the sum.

    Returns:
        `nu` of the gradient's shape, and the new `mu`, perhaps views of it.
    """
    nu = cover.bound(mu, tuple(g.shape))
    nu = nu + g * g if beta2 is None else beta2 * nu + (1 - beta2) * (g * g)
    return nu, cover.reduce(nu)


def sm3_i(
    cover: Cover, mu: Accumulators, g: Tensor, *, beta2: float | None = None
) -> tuple[Tensor, Accumulators]:
    """One step of SM3-I: `mu += reduce(g²)`, then `nu = bound(mu)`.

    Keeps `nu_I ≥ nu_II`: a set's sum of maxima is at least its max of sums.

    Args:
        cover: Covers `g.shape`.
        mu: float32 tensors of `cover.accumulator_shapes(g.shape)`; not written to.
        g: float32 gradient.
        beta2: In [0, 1): moving average of the maxima instead of their sum.

    Returns:
        `nu` of the gradient's shape, a view of the new `mu`, and the new `mu`.
    """
    peaks = cover.reduce(g * g)
    if beta2 is None:
        mu = tuple(old + peak for old, peak in zip(mu, peaks, strict=True))
    else:
        mu = tuple(beta2 * old + (1 - beta2) * peak for old, peak in zip(mu, peaks, strict=True))
    return cover.bound(mu, tuple(g.shape)), mu


def direction(g: Tensor, nu: Tensor) -> Tensor:
    """The preconditioned gradient `g/√nu`, with 0/0 = 0. NaN and inf go where the maths sends them."""
    return g / (nu + EPSILON).sqrt()


def advance(
    cover: Cover, mu: Accumulators, g: Tensor, *, variant: Variant = Variant.II, beta2: float | None = None
) -> tuple[Tensor, Accumulators]:
    """One step of the chosen variant: `(direction(g, nu), new mu)`; see `sm3_ii` for the arguments.

    >>> import torch
    >>> from sm3.covers import Slices
    >>> g = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    >>> u, mu = advance(Slices(), Slices().init((2, 2)), g)
    >>> u.tolist(), [m.tolist() for m in mu]
    ([[1.0, 0.0], [0.0, 1.0]], [[9.0, 16.0], [9.0, 16.0]])
    """
    nu, mu = (sm3_ii if variant is Variant.II else sm3_i)(cover, mu, g, beta2=beta2)
    return direction(g, nu), mu

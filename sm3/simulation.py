"""SM3 on a few small gradients, with every number that a lesson shows. Uses the step of `sm3.update` as it is.

In float64, so that what is shown is the algorithm and not its rounding. Legend: as in `sm3.update`.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch

from sm3.covers import from_spec
from sm3.remote.simulation_views import (
    CoverSimulation,
    CoverStep,
    Looseness,
    RankOne,
    RankOneStep,
    SimulationAnswer,
)
from sm3.update import sm3_i, sm3_ii

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.covers import Cover, Shape
    from sm3.covers.base import Accumulators
    from sm3.remote.simulation_specs import SimulationSpec

FLOAT32_BYTES = 4


def simulate(spec: SimulationSpec) -> SimulationAnswer:
    """Returns what each cover makes of the gradients.

    Raises:
        ValueError: a cover cannot cover the shape.
    """
    shape = spec.shape
    gradients = [torch.tensor(g, dtype=torch.float64).view(shape) for g in spec.gradients]
    g2 = [g * g for g in gradients]
    gamma = list(torch.stack(g2).cumsum(0))
    return SimulationAnswer(
        shape=shape,
        variant=spec.variant,
        lr=spec.lr,
        g2=tuple(map(_flat, g2)),
        gamma=tuple(map(_flat, gamma)),
        covers=tuple(
            _under(from_spec(cover), shape, gradients, gamma, variant=spec.variant, lr=spec.lr)
            for cover in spec.covers
        ),
        rank_one=_rank_one(gamma) if len(shape) == 2 else None,
    )


def _under(
    cover: Cover,
    shape: Shape,
    gradients: Sequence[Tensor],
    gamma: Sequence[Tensor],
    *,
    variant: str,
    lr: float,
) -> CoverSimulation:
    sets = cover.sets(shape)
    contributing: list[list[int]] = [[] for _ in range(prod(shape))]
    for number, members in enumerate(sets):
        for flat in members:
            contributing[flat].append(number)
    mu: Accumulators = tuple(m.double() for m in cover.init(shape))
    steps = []
    for g, exact in zip(gradients, gamma, strict=True):
        before, bound = mu, cover.bound(mu, shape)
        nu, mu = (sm3_i if variant == "I" else sm3_ii)(cover, mu, g)
        mu_before, mu_after = _joined(before), _joined(mu)
        steps.append(
            CoverStep(
                mu_before=mu_before,
                bound=_flat(bound),
                nu=_flat(nu),
                mu_after=mu_after,
                decides=_deciding(contributing, mu_after if variant == "I" else mu_before),
                looseness=looseness(nu, exact),
                rate=tuple(lr / x**0.5 if x > 0 else None for x in _flat(nu)),
            )
        )
    count = cover.num_accumulators(shape)
    return CoverSimulation(
        cover=cover.spec(),
        sets=tuple(map(tuple, sets)),
        contributing=tuple(map(tuple, contributing)),
        num_accumulators=count,
        accumulator_bytes=FLOAT32_BYTES * count,
        steps=tuple(steps),
    )


def looseness(nu: Tensor, gamma: Tensor) -> Looseness:
    """Returns log2(nu/gamma) entry by entry, with its median, standard deviation and maximum."""
    bits = torch.where((gamma > 0) & (nu > 0), nu.log2() - gamma.log2(), torch.nan).flatten()
    found = bits[~bits.isnan()]
    told = tuple(None if x != x else x for x in bits.tolist())
    if not len(found):
        return Looseness(bits=told, level=None, spread=None, worst=None)
    return Looseness(
        bits=told,
        level=found.quantile(0.5).item(),
        spread=found.std(correction=0).item(),
        worst=found.max().item(),
    )


def rank_one(gamma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns row sums (m,), column sums (n,) and Adafactor's estimate (m, n) of a non-negative matrix.

    Row × column / sum: the best rank-1 approximation under the generalised Kullback-Leibler divergence (Shazeer and
    Stern, arXiv 1804.04235, section 3). Exact where gamma has rank 1; otherwise on either side of it.
    """
    rows, columns = gamma.sum(1), gamma.sum(0)
    total = gamma.sum()
    estimate = torch.outer(rows / total, columns) if total > 0 else torch.zeros_like(gamma)
    return rows, columns, estimate


def _rank_one(gamma: Sequence[Tensor]) -> RankOne:
    steps = []
    for exact in gamma:
        rows, columns, estimate = rank_one(exact)
        steps.append(
            RankOneStep(
                rows=_flat(rows),
                columns=_flat(columns),
                estimate=_flat(estimate),
                looseness=looseness(estimate, exact),
            )
        )
    count = sum(gamma[0].shape)
    return RankOne(num_accumulators=count, accumulator_bytes=FLOAT32_BYTES * count, steps=tuple(steps))


def _deciding(contributing: Sequence[Sequence[int]], mu: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Of each entry the sets, among those that hold it, whose accumulator is smallest."""
    found = []
    for sets in contributing:
        least = min(mu[number] for number in sets)
        found.append(tuple(number for number in sets if mu[number] == least))
    return tuple(found)


def _flat(tensor: Tensor) -> tuple[float, ...]:
    return tuple(tensor.flatten().tolist())


def _joined(mu: Accumulators) -> tuple[float, ...]:
    """The accumulators in the order of the cover's `sets`."""
    return tuple(x for part in mu for x in part.flatten().tolist())

"""Steps for sparse gradients: only the rows that are present are read or written.

As in the authors' code: no momentum, and of slices only the row accumulator is used and updated. It alone
bounds the touched entries, and the other accumulators would grow at every step, for whichever row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sm3.covers.singletons import Singletons
from sm3.covers.slices import Slices
from sm3.kernels import reference
from sm3.update import advance

if TYPE_CHECKING:
    from torch import Tensor

    from sm3.covers.base import Accumulators, Cover, Shape
    from sm3.kernels.base import StepOptions, Work


def step(work: Work, grad: Tensor, options: StepOptions) -> None:
    """Step one tensor by a sparse gradient (COO, coalesced or not; duplicates are summed)."""
    grad = grad.coalesce()
    if grad._nnz() == 0:
        return
    row_mu = _row_accumulator(work)
    if grad.sparse_dim() != 1 or row_mu is None:
        # Exact as well: where g = 0 and there is no momentum, SM3 moves nothing.
        reference.step(replace(work, momentum=None), grad.to_dense(), replace(options, weight_decay=0.0))
        return
    mu, cover = row_mu
    rows = grad.indices()[0]
    g = grad.values().float()
    if options.maximize:
        g = -g
    u, (touched,) = advance(cover, (mu[rows],), g, variant=options.variant, beta2=options.beta2)
    mu.index_copy_(0, rows, touched)
    moved = reference.moved(work.param[rows], u, options)
    work.param.index_copy_(0, rows, moved.to(work.param.dtype))


def catch_up(cover: Cover, mu: Accumulators, shape: Shape) -> None:
    """Make up, before a dense step, for what sparse steps left out: raise the other slices to the rows' peak.

    Sound, for no entry's gamma is above its row's accumulator. Without sparse steps SM3-II leaves the peak of
    every dim's accumulators the same, and this changes nothing.
    """
    if not isinstance(cover, Slices) or 0 not in cover.dims_of(shape):
        return
    peak = mu[cover.dims_of(shape).index(0)].amax()
    for values in mu:
        if (values.amax() < peak).item():
            values.clamp_(min=peak)


def in_force(cover: Cover, mu: Accumulators, shape: Shape) -> tuple[Cover, Accumulators]:
    """The cover and accumulators that bound the entries after a sparse step: the rows alone, of slices."""
    if isinstance(cover, Slices) and len(shape) > 1 and 0 in cover.dims_of(shape):
        return Slices(dims=(0,)), (mu[cover.dims_of(shape).index(0)],)
    return cover, mu


def _row_accumulator(work: Work) -> tuple[Tensor, Cover] | None:
    """The accumulator indexed by rows and the cover it is of a few rows; None where the cover has none."""
    if isinstance(work.cover, Singletons):
        return work.mu[0], work.cover
    if isinstance(work.cover, Slices):
        dims = work.cover.dims_of(tuple(work.param.shape))
        if 0 in dims:
            return work.mu[dims.index(0)], Slices(dims=(0,))
    return None

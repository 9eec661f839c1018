"""The eager kernel: torch operations over blocks of rows that stay in the cache. Needs no compiler.

A tensor is dim 0 × the rest; of a block only its gradient (if not float32), `nu` and momentum's copy are
temporaries. Small tensors of equal shape are stacked, so that one operation serves many. On devices other than
the CPU a block is larger, for fewer launches.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import torch

from sm3.covers import Singletons, Slices, Whole
from sm3.kernels import reference
from sm3.kernels.momentum import rows_and_columns
from sm3.update import EPSILON, Variant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.covers.base import Cover
    from sm3.kernels.base import StepOptions, Work

name = "eager"
merit = "blocks of rows by torch operations"

BLOCK_ENTRIES = 262_144
"""Entries a thread takes at once: 1 MiB of `nu`. Smaller blocks stay in the second-level cache but cost more calls."""
DEVICE_BLOCK_ENTRIES = 16_777_216
SMALL_ENTRIES = 16_384
"""Entries up to which tensors of equal shape are stacked."""


def refuses(param: Tensor, cover: Cover, options: StepOptions) -> str | None:
    """Why the eager kernel cannot serve such a tensor, or None where it can."""
    if not param.is_contiguous():
        return "the parameter is not contiguous"
    if options.variant is not Variant.II:
        return "it has SM3-II only"
    if not isinstance(cover, Slices | Singletons | Whole):
        return f"it has no {cover.kind} cover"
    return None


def run(batch: Sequence[Work], grads: Sequence[Tensor], options: StepOptions) -> None:
    """Step every tensor of the batch; temporaries of a few blocks."""
    stacks: defaultdict[object, list[tuple[Work, Tensor]]] = defaultdict(list)
    small: list[tuple[Work, Tensor]] = []
    for work, grad in zip(batch, grads, strict=True):
        if isinstance(work.cover, Slices) and work.param.dim() >= 2:
            if work.param.numel() <= SMALL_ENTRIES and _stackable(work):
                stacks[work.param.shape, work.cover, work.param.device].append((work, grad))
            else:
                _step_slices(work, grad, options)
        elif isinstance(work.cover, Whole):
            _step_whole(work, grad, options)
        elif work.param.numel() <= SMALL_ENTRIES and _stackable(work):
            small.append((work, grad))
        else:
            _step_singletons(work, grad, options)
    if small:
        _step_small_singletons(small, options)
    for stack in stacks.values():
        most = max(1, _block_entries(stack[0][0].param) // 4 // stack[0][0].param.numel())
        for start in range(0, len(stack), most):
            _step_stack(stack[start : start + most], options)


def _block_entries(param: Tensor) -> int:
    return BLOCK_ENTRIES * torch.get_num_threads() if param.device.type == "cpu" else DEVICE_BLOCK_ENTRIES


def _step_slices(work: Work, grad: Tensor, options: StepOptions) -> None:
    shape = tuple(work.param.shape)
    rows, cols = rows_and_columns(shape)
    by_dim = dict(zip(work.cover.dims_of(shape), work.mu, strict=True))  # type: ignore[attr-defined]
    row_mu = by_dim.pop(0, None)
    columns = Slices(dims=[dim - 1 for dim in by_dim]) if by_dim else None
    bound = new = None
    if columns is not None:
        bound = columns.bound(tuple(by_dim.values()), shape[1:]).reshape(cols)
        new = torch.zeros_like(bound)
    above = _above_epsilon(row_mu, bound)
    g2d = grad.reshape(rows, cols)
    height = max(1, _block_entries(work.param) // max(cols, 1))
    scratch = torch.empty(min(height, rows), cols, device=grad.device)
    for start in range(0, rows, height):
        part = slice(start, min(start + height, rows))
        g, nu = g2d[part].float(), scratch[: part.stop - start]
        if row_mu is None:
            nu.copy_(bound.expand_as(nu))  # type: ignore[union-attr]
        elif bound is None:
            nu.copy_(row_mu[part, None].expand_as(nu))
        else:
            torch.minimum(row_mu[part, None], bound, out=nu)
        _add_square(nu, g, options)
        if row_mu is not None:
            torch.amax(nu, 1, out=row_mu[part])
        if new is not None:
            torch.maximum(new, nu.amax(0), out=new)
        _move(work, g, nu if above else nu.add_(EPSILON), options, part)
    if columns is not None and new is not None:
        for old, value in zip(by_dim.values(), columns.reduce(new.view(shape[1:])), strict=True):
            old.copy_(value)


def _above_epsilon(*mu: Tensor | None) -> bool:
    """Whether adding EPSILON to any bound would be lost in rounding, so that a pass can be saved."""
    return all(m is None or bool((m >= 1e-22).all()) for m in mu)


def _step_whole(work: Work, grad: Tensor, options: StepOptions) -> None:
    rows, cols = rows_and_columns(tuple(work.param.shape))
    (mu,) = work.mu
    g2d, old, tops = grad.reshape(rows, cols), mu.clone(), []
    height = max(1, _block_entries(work.param) // max(cols, 1))
    for start in range(0, rows, height):
        part = slice(start, min(start + height, rows))
        g = g2d[part].float()
        nu = old.expand_as(g).clone()
        _add_square(nu, g, options)
        tops.append(nu.amax())
        _move(work, g, nu.add_(EPSILON), options, part)
    mu.copy_(torch.stack(tops).amax())


def _step_singletons(work: Work, grad: Tensor, options: StepOptions) -> None:
    rows, cols = rows_and_columns(tuple(work.param.shape))
    g2d, mu2d = grad.reshape(rows, cols), work.mu[0].view(rows, cols)
    height = max(1, _block_entries(work.param) // max(cols, 1))
    for start in range(0, rows, height):
        part = slice(start, min(start + height, rows))
        g, mu = g2d[part].float(), mu2d[part]
        _add_square(mu, g, options)
        _move(work, g, mu + EPSILON, options, part)


def _step_small_singletons(batch: list[tuple[Work, Tensor]], options: StepOptions) -> None:
    """Step small tensors, each entry a set, by one call an operation for all of them."""
    works = [work for work, _ in batch]
    params, mu, grads = [w.param for w in works], [w.mu[0] for w in works], [grad for _, grad in batch]
    lr, sign = float(options.lr), -1.0 if options.maximize else 1.0
    if options.beta2 is None:
        torch._foreach_addcmul_(mu, grads, grads)
    else:
        squares = torch._foreach_mul(grads, grads)
        torch._foreach_mul_(squares, 1 - options.beta2)
        torch._foreach_mul_(mu, options.beta2)
        torch._foreach_add_(mu, squares)
    roots = torch._foreach_add(mu, EPSILON)
    torch._foreach_rsqrt_(roots)
    if options.weight_decay:
        torch._foreach_mul_(params, 1 - lr * options.weight_decay)
    if not options.momentum:
        torch._foreach_addcmul_(params, grads, roots, value=-lr * sign)
        return
    momenta = [work.momentum.values for work in works if work.momentum is not None]
    torch._foreach_mul_(momenta, options.momentum)
    torch._foreach_addcmul_(momenta, grads, roots, value=(1 - options.momentum) * sign)
    torch._foreach_add_(params, momenta, alpha=-lr)


def _add_square(nu: Tensor, g: Tensor, options: StepOptions) -> None:
    """`nu ← nu + g²`, or the moving average, in place."""
    if options.beta2 is None:
        nu.addcmul_(g, g)
    else:
        nu.mul_(options.beta2).add_((g * g).mul_(1 - options.beta2))


def _move(work: Work, g: Tensor, nu: Tensor, options: StepOptions, part: slice) -> None:
    """Move the rows `part` of the parameter; `nu` is used up."""
    root = nu.rsqrt_()
    w = work.param.view(rows_and_columns(tuple(work.param.shape)))[part]
    lr, sign = float(options.lr), -1.0 if options.maximize else 1.0
    if w.dtype != torch.float32:
        u = root.mul_(g).mul_(sign)
        if work.momentum is not None:
            u = work.momentum.blend(u, options.momentum, part)
        w.copy_(reference.moved(w, u, options))
        return
    if options.weight_decay:
        w.mul_(1 - lr * options.weight_decay)
    if work.momentum is None:
        w.addcmul_(g, root, value=-lr * sign)
    else:
        u = root.mul_(g)
        w.sub_(work.momentum.blend(u.neg_() if options.maximize else u, options.momentum, part), alpha=lr)


def _stackable(work: Work) -> bool:
    momentum = work.momentum
    return work.param.dtype == torch.float32 and (
        momentum is None or (momentum.scale is None and momentum.values.dtype == torch.float32)
    )


def _step_stack(stack: list[tuple[Work, Tensor]], options: StepOptions) -> None:
    """Step tensors of equal shape and cover at once: dim 0 of every stacked operand counts the tensors."""
    works = [work for work, _ in stack]
    params = [work.param for work in works]
    g = torch.stack([grad for _, grad in stack])
    cover = works[0].cover
    shape = tuple(params[0].shape)
    mu = [torch.stack([work.mu[k] for work in works]) for k in range(len(works[0].mu))]
    nu = torch.full((), float("inf"), device=g.device)
    for dim, values in zip(cover.dims_of(shape), mu, strict=True):  # type: ignore[attr-defined]
        nu = nu.minimum(values.view(len(works), *(shape[k] if k == dim else 1 for k in range(len(shape)))))
    nu = nu.expand(g.shape).clone() if nu.shape != g.shape else nu
    _add_square(nu, g, options)
    for k, dim in enumerate(cover.dims_of(shape)):  # type: ignore[attr-defined]
        new = nu.amax([1 + other for other in range(len(shape)) if other != dim])
        torch._foreach_copy_([work.mu[k] for work in works], list(new.unbind()))
    u, lr = g.mul_(nu.add_(EPSILON).rsqrt_()), float(options.lr)
    if options.maximize:
        u.neg_()
    if options.weight_decay:
        torch._foreach_mul_(params, 1 - lr * options.weight_decay)
    if works[0].momentum is None:
        torch._foreach_add_(params, list(u.unbind()), alpha=-lr)
        return
    momenta = [work.momentum.values for work in works if work.momentum is not None]
    torch._foreach_mul_(momenta, options.momentum)
    torch._foreach_add_(momenta, list(u.unbind()), alpha=1 - options.momentum)
    torch._foreach_add_(params, momenta, alpha=-lr)

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
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from sm3.covers.base import Cover
    from sm3.kernels.base import StepOptions, Work

name = "eager"
merit = "blocks of rows by torch operations"

BLOCK_ENTRIES = 131_072
"""Entries a thread takes at once: 512 KiB of `nu`, half of a common second-level cache; less costs more calls."""
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
    """Step every tensor of the batch; temporaries of a block or two."""
    stacks: defaultdict[object, list[tuple[Work, Tensor]]] = defaultdict(list)
    small: list[tuple[Work, Tensor]] = []
    blocks = _Blocks()
    for work, grad in zip(batch, grads, strict=True):
        if work.prepared is None:
            work.prepared = _group(work)
        group = work.prepared
        if group is _SMALL:
            small.append((work, grad))
        elif group is not _ALONE:
            stacks[group].append((work, grad))
        elif isinstance(work.cover, Slices) and work.param.dim() >= 2:
            _step_slices(work, grad, options, blocks)
        elif isinstance(work.cover, Whole):
            _step_whole(work, grad, options, blocks)
        else:
            _step_singletons(work, grad, options, blocks)
    if small:
        _step_small_singletons(small, options)
    for stack in stacks.values():
        most = max(1, _block_entries(stack[0][0].param) // stack[0][0].param.numel() // 2)
        for start in range(0, len(stack), most):
            _step_stack(stack[start : start + most], options)


_ALONE, _SMALL = "alone", "small singletons"


def _group(work: Work) -> object:
    """What a tensor is stepped together with: equal keys form a stack."""
    param, momentum = work.param, work.momentum
    plain = momentum is None or (momentum.scale is None and momentum.values.dtype == torch.float32)
    if param.numel() > SMALL_ENTRIES or param.dtype != torch.float32 or not plain:
        return _ALONE
    if isinstance(work.cover, Slices) and param.dim() >= 2:
        shape = tuple(param.shape)
        return shape, work.cover.dims_of(shape), param.device
    return _ALONE if isinstance(work.cover, Whole) else _SMALL


def _block_entries(param: Tensor) -> int:
    return BLOCK_ENTRIES * torch.get_num_threads() if param.device.type == "cpu" else DEVICE_BLOCK_ENTRIES


class _Blocks:
    """Cuts tensors into blocks of rows, and keeps one block's room for `nu` from tensor to tensor."""

    def __init__(self) -> None:
        self._room: Tensor | None = None

    def of(self, work: Work, grad: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Each block's rows, its gradient in float32, and room of the same shape to be written."""
        rows, cols = rows_and_columns(tuple(work.param.shape))
        entries = _block_entries(work.param)
        if work.momentum is not None and work.momentum.scale is not None:
            entries //= 2  # decoding and encoding int8 takes room of its own
        height = min(rows, max(1, entries // max(cols, 1)))
        if self._room is None or self._room.device != grad.device or self._room.numel() < height * cols:
            self._room = torch.empty(height * cols, device=grad.device)
        room = self._room[: height * cols].view(height, cols)
        parts = torch.split(grad.reshape(rows, cols), height)
        for start, g in zip(range(0, rows, height), parts, strict=True):
            stop = min(start + height, rows)
            yield slice(start, stop), g.float(), room if stop - start == height else room[: stop - start]


def _step_slices(work: Work, grad: Tensor, options: StepOptions, blocks: _Blocks) -> None:
    shape = tuple(work.param.shape)
    by_dim = dict(zip(work.cover.dims_of(shape), work.mu, strict=True))  # type: ignore[attr-defined]
    row_mu = by_dim.pop(0, None)
    columns = Slices(dims=[dim - 1 for dim in by_dim]) if by_dim else None
    bound = new = None
    if columns is not None:
        bound = columns.bound(tuple(by_dim.values()), shape[1:]).reshape(-1)
        new = torch.zeros_like(bound)
    # Sums only: a moving average may forget a bound down to g², which may be 0.
    above = options.beta2 is None and _above_epsilon(row_mu, bound)
    for part, g, nu in blocks.of(work, grad):
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


def _step_whole(work: Work, grad: Tensor, options: StepOptions, blocks: _Blocks) -> None:
    (mu,) = work.mu
    tops = []
    for part, g, nu in blocks.of(work, grad):
        _add_square(nu.copy_(mu.expand_as(nu)), g, options)
        tops.append(nu.amax())
        _move(work, g, nu.add_(EPSILON), options, part)
    mu.copy_(torch.stack(tops).amax())


def _step_singletons(work: Work, grad: Tensor, options: StepOptions, blocks: _Blocks) -> None:
    mu2d = work.mu[0].view(rows_and_columns(tuple(work.param.shape)))
    for part, g, nu in blocks.of(work, grad):
        mu = mu2d[part]
        _add_square(mu, g, options)
        _move(work, g, torch.add(mu, EPSILON, out=nu), options, part)


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


def _step_stack(stack: list[tuple[Work, Tensor]], options: StepOptions) -> None:
    """Step tensors of equal shape and cover at once: dim 0 of every stacked operand counts the tensors."""
    works = [work for work, _ in stack]
    params = [work.param for work in works]
    g = torch.stack([grad for _, grad in stack])
    shape = tuple(params[0].shape)
    dims = works[0].cover.dims_of(shape)  # type: ignore[attr-defined]
    mu = [[work.mu[k] for work in works] for k in range(len(dims))]
    nu: Tensor | None = None
    for dim, values in zip(dims, mu, strict=True):
        sizes = [size if k == dim else 1 for k, size in enumerate(shape)]
        own = torch.cat(values).view(len(works), *sizes)
        nu = own if nu is None else torch.minimum(nu, own)
    assert nu is not None
    nu = nu.expand(g.shape).clone() if nu.shape != g.shape else nu
    _add_square(nu, g, options)
    for dim, values in zip(dims, mu, strict=True):
        new = nu.amax([1 + other for other in range(len(shape)) if other != dim])
        torch._foreach_copy_(values, new.unbind())
    roots, lr = nu.add_(EPSILON).rsqrt_(), float(options.lr)
    if options.maximize:
        roots.neg_()
    if options.weight_decay:
        torch._foreach_mul_(params, 1 - lr * options.weight_decay)
    u = g.mul_(roots)
    if works[0].momentum is None:
        torch._foreach_add_(params, u.unbind(), alpha=-lr)
        return
    momenta = [work.momentum.values for work in works if work.momentum is not None]
    torch._foreach_mul_(momenta, options.momentum)
    torch._foreach_add_(momenta, u.unbind(), alpha=1 - options.momentum)
    torch._foreach_add_(params, momenta, alpha=-lr)

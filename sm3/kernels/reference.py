"""The reference kernel: `sm3.update` applied tensor by tensor. Serves everything, allocates freely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sm3.update import advance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.covers.base import Cover
    from sm3.kernels.base import StepOptions, Work

name = "reference"
merit = "serves everything"


def refuses(param: Tensor, cover: Cover, options: StepOptions) -> str | None:
    """Nothing is refused."""
    return None


def run(batch: Sequence[Work], grads: Sequence[Tensor], options: StepOptions) -> None:
    """Step every tensor of the batch; temporaries of a few times the largest tensor."""
    for work, grad in zip(batch, grads, strict=True):
        step(work, grad, options)


def step(work: Work, grad: Tensor, options: StepOptions) -> None:
    """Step one tensor: float32 maths whatever the parameter's dtype, rounded once on the way back."""
    g = grad.float()
    if options.maximize:
        g = -g
    u, mu = advance(work.cover, work.mu, g, variant=options.variant, beta2=options.beta2)
    for old, new in zip(work.mu, mu, strict=True):
        old.copy_(new)
    if work.momentum is not None:
        u = work.momentum.blend(u, options.momentum)
    work.param.copy_(moved(work.param, u, options))


def moved(param: Tensor, u: Tensor, options: StepOptions) -> Tensor:
    """`(1 − lr·λ)·w − lr·u`, in float32 or in the parameter's own dtype where that is wider."""
    w = param.float() if param.itemsize < u.itemsize else param
    if options.weight_decay:
        w = w * (1 - options.lr * options.weight_decay)
    return w - options.lr * u

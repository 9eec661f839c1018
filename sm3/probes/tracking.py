"""An optimizer's tensors as probes see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sm3.covers import Cover, Singletons
from sm3.kernels.momentum import dequantized
from sm3.kernels.sparse import in_force
from sm3.optimizer import SM3
from sm3.probes.state_rules import rule_of


@dataclass(frozen=True)
class Tracked:
    """One parameter as probes see it, after the step and before its gradient is cleared.

    Attributes:
        name: the parameter's name.
        shape: its shape.
        grad: its gradient of the step; None if it had none, or if it is sparse.
        cover: its cover (after a sparse gradient the rows alone, for the rest lags behind); singletons under another
            optimizer that keeps a second moment; None where there is none, or none yet.
        mu: the cover's accumulators, float32, without gradients of their own; () without a cover. They may be
            the optimizer's state itself: do not write into them, and do not hold them beyond the step.
        lr: the learning rate of the step, as the group has it. Adafactor multiplies it by factors of its own:
            the norm of the parameter and the clipping of the update are not in it.
        param: the parameter itself, stepped.
        momentum: its momentum in float32, decoded where it is stored otherwise; a call, for that may cost a copy.
            Returns None where there is none.
        beta2: decay of the accumulators; None for sums.
        is_shadow: whether cover and accumulators are a shadow's rather than the optimizer's own.
    """

    name: str
    shape: tuple[int, ...]
    grad: Tensor | None
    cover: Cover | None
    mu: tuple[Tensor, ...]
    lr: float
    param: Tensor | None = None
    momentum: Callable[[], Tensor | None] = lambda: None
    beta2: float | None = None
    is_shadow: bool = False


def tracked(optimizer: torch.optim.Optimizer, lrs: Sequence[float]) -> Iterator[Tracked]:
    """Yields every parameter of ``optimizer`` that can be stepped.

    SM3's accumulators come as they are. Of AdaGrad, Adam(W) and Adafactor comes the second moment of every
    entry (see :mod:`sm3.probes.state_rules`), so that every probe of accumulators reads them too; where it has
    to be computed it adds as many floats as the parameter has entries, for as long as the value lives.

    Args:
        optimizer: SM3, or any other; without a rule, nothing is known of its accumulators.
        lrs: the learning rate of the step, one a parameter group.
    """
    second_moment = rule_of(optimizer).second_moment
    watched = optimizer.watched() if isinstance(optimizer, SM3) else None
    for number, (group, lr) in enumerate(zip(optimizer.param_groups, lrs, strict=True)):
        names = group.get("param_names") or [f"{number}.{k}" for k in range(len(group["params"]))]
        for name, param in zip(names, group["params"], strict=True):
            grad = None if param.grad is None or param.grad.is_sparse else param.grad
            cover: Cover | None = None
            mu: tuple[Tensor, ...] = ()
            if watched is not None:
                _, cover, mu = next(watched)
                if param.grad is not None and param.grad.is_sparse:
                    cover, mu = in_force(cover, mu, tuple(param.shape))
            elif second_moment is not None and (state := optimizer.state.get(param)):
                cover, mu = Singletons(), (second_moment(state, group).detach().float(),)
            yield Tracked(
                name,
                tuple(param.shape),
                grad,
                cover,
                mu,
                lr,
                param.detach(),
                partial(_momentum, optimizer.state.get(param, {})),
                group.get("beta2"),
            )


def _momentum(state: Mapping[str, Tensor]) -> Tensor | None:
    """SM3's momentum of one parameter in float32, flat rows where it is kept as int8."""
    values, scale = state.get("momentum"), state.get("momentum_scale")
    if values is None:
        return None
    return values.float() if scale is None else dequantized(values.reshape(scale.shape[0], -1), scale)

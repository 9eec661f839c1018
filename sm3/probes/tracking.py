"""An optimizer's tensors as probes see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sm3.covers import Cover
from sm3.optimizer import SM3


@dataclass(frozen=True)
class Tracked:
    """One parameter as probes see it, after the step and before its gradient is cleared.

    Attributes:
        name: the parameter's name.
        shape: its shape.
        grad: its gradient of the step; None if it had none, or if it is sparse.
        cover: its cover; None under an optimizer that has no covers.
        mu: the cover's accumulators, float32; () without a cover.
        lr: the learning rate of the step.
    """

    name: str
    shape: tuple[int, ...]
    grad: Tensor | None
    cover: Cover | None
    mu: tuple[Tensor, ...]
    lr: float


def tracked(optimizer: torch.optim.Optimizer, lrs: Sequence[float]) -> Iterator[Tracked]:
    """Yields every parameter of ``optimizer`` that can be stepped.

    Args:
        optimizer: SM3, or any other (then without covers and accumulators).
        lrs: the learning rate of the step, one a parameter group.
    """
    for number, (group, lr) in enumerate(zip(optimizer.param_groups, lrs, strict=True)):
        names = group.get("param_names") or [f"{number}.{k}" for k in range(len(group["params"]))]
        for name, param in zip(names, group["params"], strict=True):
            grad = None if param.grad is None or param.grad.is_sparse else param.grad
            if isinstance(optimizer, SM3):
                cover, mu = optimizer.cover(param), optimizer.accumulators(param)
            else:
                cover, mu = None, ()
            yield Tracked(name, tuple(param.shape), grad, cover, mu, lr)

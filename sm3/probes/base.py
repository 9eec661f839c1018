"""What a probe is: something that reads an optimizer's tensors after a step and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from sm3.covers import Cover
from sm3.optimizer import SM3

MAX_BINS = 256


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


@dataclass
class Reading:
    """What a probe read: tensors still on their device, so that one copy can bring all of them to the host.

    Attributes:
        arrays: ``statistic/part/tensor`` to a small float32 tensor.
        scalars: series name to a 0-d tensor.
    """

    arrays: dict[str, Tensor] = field(default_factory=dict)
    scalars: dict[str, Tensor] = field(default_factory=dict)


class Probe(Protocol):
    """One statistic. The class docstring tells its meaning, unit, cost and memory."""

    name: ClassVar[str]
    unit: ClassVar[str]

    def read(self, tensors: Sequence[Tracked]) -> Reading:
        """Returns the statistic of ``tensors``; changes nothing."""
        ...


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


def max_pool(values: Tensor, *, bins: int = MAX_BINS) -> Tensor:
    """Returns ``values`` max-pooled along every dim to at most ``bins`` bins of equal width ⌈n/bins⌉.

    The last bin of a dim may be narrower. NaN wins over everything, as in the accumulators themselves. For
    slices pooling is exact: the max over a tile of min(row, column) is the min of the pooled row and column,
    since both are non-decreasing in each argument.

    Args:
        values: [n₁, …, nₚ], non-negative; a dim of size 0 stays.
        bins: at least 1.
    """
    for dim, n in enumerate(values.shape):
        width = -(-n // bins)
        if width <= 1:
            continue
        whole = n - n % width
        parts = [_split(values.narrow(dim, 0, whole), dim, width).amax(dim + 1)]
        if whole < n:
            parts.append(values.narrow(dim, whole, n - whole).amax(dim, keepdim=True))
        values = torch.cat(parts, dim)
    return values


def _split(values: Tensor, dim: int, width: int) -> Tensor:
    """Returns ``values`` with ``dim`` split into groups of ``width``."""
    shape = [*values.shape[:dim], values.shape[dim] // width, width, *values.shape[dim + 1 :]]
    return values.reshape(shape)

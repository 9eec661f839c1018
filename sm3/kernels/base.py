"""What a kernel is given, and what it promises.

A kernel steps a batch of tensors of one parameter group. It writes the parameter, the accumulators and the
momentum in place, each equal to what `sm3.update` defines, and leaves the gradient as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.covers.base import Accumulators, Cover
    from sm3.kernels.momentum import Momentum
    from sm3.update import Variant


@dataclass(frozen=True, slots=True)
class StepOptions:
    """A group's hyperparameters at one step.

    Attributes:
        lr: Learning rate, a float or a 0-d tensor.
        momentum: β in `m ← βm + (1−β)·g/√nu`; 0 for none.
        variant: SM3-I or SM3-II.
        beta2: Decay of the accumulators, None for sums.
        weight_decay: λ in the decoupled `w ← (1 − lr·λ)·w`.
        maximize: Whether to ascend.
    """

    lr: float | Tensor
    momentum: float
    variant: Variant
    beta2: float | None
    weight_decay: float
    maximize: bool


@dataclass(frozen=True, slots=True)
class Work:
    """One tensor to step: all but `grad` is written in place.

    Attributes:
        param: The parameter, any floating dtype and strides.
        grad: Its gradient, of the same shape.
        cover: Covers `param.shape`.
        mu: The accumulators, float32.
        momentum: None where there is none.
    """

    param: Tensor
    grad: Tensor
    cover: Cover
    mu: Accumulators
    momentum: Momentum | None


class Kernel(Protocol):
    """A way to carry out the step."""

    name: str

    def refuses(self, param: Tensor, cover: Cover, options: StepOptions) -> str | None:
        """Why this kernel cannot serve such a tensor, or None where it can."""

    def run(self, batch: Sequence[Work], options: StepOptions) -> None:
        """Step every tensor of the batch."""


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """Which kernel serves a tensor, and why."""

    name: str
    kernel: str
    reason: str

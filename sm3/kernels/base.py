"""What a kernel is given, and what it promises.

A kernel steps a batch of tensors of one parameter group. It writes the parameter, the accumulators and the
momentum in place, each equal to what `sm3.update` defines (the eager kernel up to one rounding a step, where torch
fuses multiply and add), and leaves the gradient as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.covers.base import Accumulators, Cover
    from sm3.kernels.momentum import Momentum, MomentumDtype
    from sm3.update import Variant


@dataclass(frozen=True, slots=True)
class StepOptions:
    """A group's hyperparameters at one step.

    Attributes:
        lr: Learning rate, a float or a 0-d tensor.
        momentum: β in `m ← βm + (1−β)·g/√nu`; 0 for none.
        momentum_dtype: How `m` is stored.
        variant: SM3-I or SM3-II.
        beta2: Decay of the accumulators, None for sums.
        weight_decay: λ in the decoupled `w ← (1 − lr·λ)·w`.
        maximize: Whether to ascend.
    """

    lr: float | Tensor
    momentum: float
    momentum_dtype: MomentumDtype
    variant: Variant
    beta2: float | None
    weight_decay: float
    maximize: bool


@dataclass(slots=True, eq=False)
class Work:
    """One tensor to step; `param`, `mu` and `momentum` are written in place.

    Attributes:
        param: The parameter, any floating dtype and strides.
        cover: Covers `param.shape`.
        mu: The accumulators, float32 and contiguous.
        momentum: None where there is none.
        prepared: What the kernel keeps for this tensor from one step to the next; a new `Work` is made when
            any of the other tensors is replaced or moves in memory.
    """

    param: Tensor
    cover: Cover
    mu: Accumulators
    momentum: Momentum | None
    prepared: Any = None


class Kernel(Protocol):
    """A way to carry out the step."""

    name: str
    merit: str
    """What speaks for it, in a few words."""

    def refuses(self, param: Tensor, cover: Cover, options: StepOptions) -> str | None:
        """Why this kernel cannot serve such a tensor, or None where it can.

        May depend on all but the numbers in `options`: those change from step to step.
        """

    def run(self, batch: Sequence[Work], grads: Sequence[Tensor], options: StepOptions) -> None:
        """Step every tensor of the batch by its dense gradient, which has the same shape and any strides."""


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """Which kernel serves a tensor, and why."""

    name: str
    kernel: str
    reason: str

"""What a rule is: which tensors an optimizer keeps for a parameter, and what its step takes for a while.

To add an optimizer: one file beside this one, one line in `registry.py`, its spec in `sm3.remote.ledger_specs`, and, if
its package can be had, a case in ``tests/ledger/packages.py`` that compares the rule with what the package allocates.

Words: **kept** is what stays in the optimizer's state from step to step; **working** is what a step allocates beside it
and gives back. Rules load without torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel

from sm3.ledger.shapes import Shape, TensorShape
from sm3.remote.ledger_specs import Dtype
from sm3.remote.wire import FieldFault

SpecT = TypeVar("SpecT", bound=BaseModel)


class Part(StrEnum):
    """What a kept tensor is for."""

    MOMENTUM = "momentum"
    ACCUMULATORS = "accumulators"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Kept:
    """One tensor of an optimizer's state.

    Attributes:
        key: its key in `optimizer.state[param]`.
        part: what it is for.
        shape: its shape.
        dtype: its dtype.
    """

    key: str
    part: Part
    shape: Shape
    dtype: Dtype

    @property
    def num_bytes(self) -> int:
        """Bytes it takes."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Step:
    """How steps are taken.

    Attributes:
        device: "cpu" or "cuda".
        foreach: whether torch's optimizers step all tensors at once.
    """

    device: str = "cuda"
    foreach: bool = True


@dataclass(frozen=True, slots=True)
class Verified:
    """The package whose allocated state a rule equals to the byte, and its version when that was last seen."""

    package: str
    version: str

    def __str__(self) -> str:
        """Package and version."""
        return f"{self.package} {self.version}"


TORCH = Verified("torch", "2.13.0")


class Rule(ABC, Generic[SpecT]):
    """What one optimizer, as a spec describes it, holds for the tensors of a model.

    Attributes:
        source: where the rule stands: a paper, or the package's file.
        verified: what it was compared with; None: it is from the paper alone.
    """

    source: ClassVar[str]
    verified: ClassVar[Verified | None]

    def __init__(self, spec: SpecT) -> None:
        self.spec = spec

    @property
    @abstractmethod
    def title(self) -> str:
        """The optimizer and the settings of it that cost bytes, in a few words."""

    @abstractmethod
    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields what the state holds for one trainable tensor."""

    def shared(self, tensors: Sequence[TensorShape]) -> Iterator[Kept]:
        """Yields what the optimizer holds once for all of `tensors`."""
        return iter(())

    @abstractmethod
    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """Returns what stepping this tensor takes for a while, alone."""

    def left_bytes(self, tensor: TensorShape, step: Step) -> int:
        """Returns what is still held of one tensor's working room while the next is stepped."""
        return 0

    def at_once(self, step: Step) -> bool:
        """Whether all tensors' working room is held together rather than in turn."""
        return False

    def transient_bytes(
        self, tensors: Sequence[TensorShape], working: Sequence[int], left: Sequence[int], step: Step
    ) -> int:
        """Returns the most that a step holds beside the state: all tensors together, or the worst in their order.

        Args:
            tensors: the trainable ones.
            working: `working_bytes` of each.
            left: `left_bytes` of each.
            step: how steps are taken.
        """
        if self.at_once(step):
            return sum(working)
        return max(map(sum, zip((0, *left), working, strict=False)), default=0)

    def key(self, tensor: TensorShape) -> Hashable:
        """Returns what else than shape and dtype the answers for a tensor hang on: what its name decides."""
        return None

    def cover(self, tensor: TensorShape) -> str:
        """Returns the cover of one tensor in a word; '' where an optimizer has none."""
        return ""

    def faults(self, tensors: Sequence[TensorShape]) -> Iterator[FieldFault]:
        """Yields all that does not fit between the spec and the model, by the spec's fields."""
        return iter(())

    def notes(self, tensors: Sequence[TensorShape]) -> Iterator[str]:
        """Yields what a reader of the numbers should know."""
        return iter(())


def step_counter() -> Kept:
    """Torch's step counter: a 0-d float32 tensor for each parameter, on the host unless fused or capturable."""
    return Kept("step", Part.OTHER, (), Dtype.FP32)


def full(key: str, part: Part, tensor: TensorShape, dtype: Dtype | None = None) -> Kept:
    """A state tensor of the parameter's own shape, and dtype unless another is given."""
    return Kept(key, part, tensor.shape, dtype or tensor.dtype)

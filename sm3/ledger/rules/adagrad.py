"""AdaGrad as torch has it: one number an entry."""

from __future__ import annotations

from collections.abc import Iterator

from sm3.ledger.rules.base import TORCH, Kept, Part, Rule, Step, full, step_counter
from sm3.ledger.shapes import TensorShape
from sm3.remote.optimizer_specs import AdagradSpec


class Adagrad(Rule[AdagradSpec]):
    """`step` and `sum`, allocated when the optimizer is made."""

    source = "torch/optim/adagrad.py; Duchi et al. 2011, JMLR 12"
    verified = TORCH
    title = "AdaGrad"

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields the counter and Σ g²."""
        yield step_counter()
        yield full("sum", Part.ACCUMULATORS, tensor)

    def at_once(self, step: Step) -> bool:
        """Under foreach all roots and scaled gradients exist together."""
        return step.foreach

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The root of the sum; under foreach also the scaled gradient."""
        return tensor.num_bytes * (2 if step.foreach else 1)

    def left_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The loop's variable `std` outlives its turn."""
        return tensor.num_bytes

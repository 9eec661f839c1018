"""Stochastic gradient descent as torch has it: nothing, or one momentum an entry."""

from __future__ import annotations

from collections.abc import Iterator

from sm3.ledger.rules.base import TORCH, Kept, Part, Rule, Step, full
from sm3.ledger.shapes import TensorShape
from sm3.remote.optimizer_specs import SgdSpec


class Sgd(Rule[SgdSpec]):
    """`momentum_buffer`, a copy of the first gradient, so in the gradient's dtype."""

    source = "torch/optim/sgd.py"
    verified = TORCH

    @property
    def title(self) -> str:
        """Name, and momentum."""
        return "SGD, momentum" if self.spec.momentum else "SGD"

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields the momentum buffer, if any."""
        if self.spec.momentum:
            yield full("momentum_buffer", Part.MOMENTUM, tensor)

    def at_once(self, step: Step) -> bool:
        """Under foreach all decayed gradients exist together."""
        return step.foreach

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The gradient with weight decay added, if there is any."""
        return tensor.num_bytes if self.spec.weight_decay else 0

"""Lion: one momentum an entry and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from sm3.ledger.rules.base import Kept, Part, Rule, Step, Verified, full
from sm3.ledger.shapes import TensorShape
from sm3.remote.ledger_specs import LionSpec


class Lion(Rule[LionSpec]):
    """`exp_avg`, in the parameter's dtype."""

    source = "lion_pytorch/lion_pytorch.py; arXiv 2302.06675, Algorithm 2"
    verified = Verified("lion-pytorch", "0.2.5")
    title = "Lion"

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields the momentum."""
        yield full("exp_avg", Part.MOMENTUM, tensor)

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The blend of momentum and gradient, twice over."""
        return 2 * tensor.num_bytes

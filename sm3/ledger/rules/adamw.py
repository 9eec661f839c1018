"""AdamW and Adam as torch has them: two numbers an entry, three with amsgrad."""

from __future__ import annotations

from collections.abc import Iterator

from sm3.ledger.rules.base import TORCH, Kept, Part, Rule, Step, full, step_counter
from sm3.ledger.shapes import TensorShape
from sm3.remote.ledger_specs import AdamWLedgerSpec


class AdamW(Rule[AdamWLedgerSpec]):
    """`step`, `exp_avg`, `exp_avg_sq` and perhaps `max_exp_avg_sq`, in the parameter's dtype."""

    source = "torch/optim/adam.py (_init_group); arXiv 1412.6980, 1711.05101"
    verified = TORCH

    @property
    def title(self) -> str:
        """Name, and amsgrad."""
        return "AdamW, amsgrad" if self.spec.amsgrad else "AdamW"

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields the counter and two or three buffers."""
        yield step_counter()
        yield full("exp_avg", Part.MOMENTUM, tensor)
        yield full("exp_avg_sq", Part.ACCUMULATORS, tensor)
        if self.spec.amsgrad:
            yield full("max_exp_avg_sq", Part.ACCUMULATORS, tensor)

    def at_once(self, step: Step) -> bool:
        """Under foreach all denominators exist together."""
        return step.foreach

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The root of the second moment, and in turn also its quotient by the bias correction."""
        return tensor.num_bytes * (1 if step.foreach else 2)

    def left_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The loop's variable `denom` outlives its turn."""
        return tensor.num_bytes

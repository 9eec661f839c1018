"""Adafactor as torch has it: a row and a column of second moments for each matrix of the last two dims."""

from __future__ import annotations

from collections.abc import Iterator

from sm3.ledger.rules.base import TORCH, Kept, Part, Rule, Step, full, step_counter
from sm3.ledger.shapes import TensorShape
from sm3.remote.optimizer_specs import AdafactorSpec


class Adafactor(Rule[AdafactorSpec]):
    """`step`; `row_var` and `col_var` for rank ≥ 2, else `variance`; in the gradient's dtype; no momentum."""

    source = "torch/optim/_adafactor.py (_init_group); arXiv 1804.04235"
    verified = TORCH
    title = "Adafactor (torch)"

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields the counter and the factors, or the variance of a vector."""
        yield step_counter()
        shape = tensor.shape
        if len(shape) > 1:
            yield Kept("row_var", Part.ACCUMULATORS, (*shape[:-1], 1), tensor.dtype)
            yield Kept("col_var", Part.ACCUMULATORS, (*shape[:-2], 1, shape[-1]), tensor.dtype)
        else:
            yield full("variance", Part.ACCUMULATORS, tensor)

    def at_once(self, step: Step) -> bool:
        """Under foreach all updates exist together."""
        return step.foreach

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The estimate that becomes the update; rows and columns beside it are not counted."""
        return tensor.num_bytes

    def left_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The loop's variable `update` outlives its turn."""
        return tensor.num_bytes

"""AdamW8bit of torchao: both moments in 8 bits, each buffer with its own scales and its own table of levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sm3.ledger.rules.adamw8bit import LEVELS
from sm3.ledger.rules.base import Kept, Part, Rule, Step, Verified, full, step_counter
from sm3.ledger.shapes import TensorShape
from sm3.remote.ledger_specs import AdamW8bitTorchaoSpec, Dtype

MIN_ENTRIES = 4096


class AdamW8bitTorchao(Rule[AdamW8bitTorchaoSpec]):
    """`step`; `exp_avg`, `exp_avg_sq` as codes, scale and qmap for ≥ 4096 entries that fill whole blocks.

    Other tensors keep both moments in the parameter's dtype. The learning rate is a tensor, one a group.
    """

    source = "torchao/optim/adam.py (_new_buffer), subclass_8bit.py; arXiv 2110.02861"
    verified = Verified("torchao", "0.18.0")
    title = "AdamW8bit (torchao)"

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields the counter and each moment's buffers."""
        yield step_counter()
        moments = [("exp_avg", Part.MOMENTUM), ("exp_avg_sq", Part.ACCUMULATORS)]
        if self.spec.amsgrad:
            moments.append(("max_exp_avg_sq", Part.ACCUMULATORS))
        block = self.spec.block_size
        for key, part in moments:
            if tensor.num_entries >= MIN_ENTRIES and tensor.num_entries % block == 0:
                yield full(f"{key}.codes", part, tensor, Dtype.UINT8)
                yield Kept(f"{key}.scale", part, (tensor.num_entries // block,), Dtype.FP32)
                yield Kept(f"{key}.qmap", Part.OTHER, (LEVELS,), Dtype.FP32)
            else:
                yield full(key, part, tensor)

    def shared(self, tensors: Sequence[TensorShape]) -> Iterator[Kept]:
        """Yields the learning rate."""
        yield Kept("lr", Part.OTHER, (), Dtype.FP32)

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """Parameter, gradient and both moments in float32, of which compiled code may hold less: not verified."""
        return 4 * tensor.num_entries * Dtype.FP32.itemsize

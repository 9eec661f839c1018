"""AdamW8bit of bitsandbytes: both moments in 8 bits, with a float32 scale for each block of 256 entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sm3.ledger.rules.base import Kept, Part, Rule, Step, Verified, full
from sm3.ledger.shapes import TensorShape
from sm3.remote.ledger_specs import AdamW8bitSpec, Dtype

BLOCK = 256
LEVELS = 256


class AdamW8bit(Rule[AdamW8bitSpec]):
    """`state1`, `state2` in uint8 with `absmax1`, `absmax2`; both float32 for tensors below `min_8bit_size` entries.

    Two tables of 256 levels, `qmap1` and `qmap2`, serve all tensors of the optimizer.
    """

    source = "bitsandbytes/optim/optimizer.py (Optimizer2State.init_state); arXiv 2110.02861"
    verified = Verified("bitsandbytes", "0.50.2")
    title = "AdamW8bit (bitsandbytes)"

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields both moments and their scales."""
        if not self._is_quantized(tensor):
            yield full("state1", Part.MOMENTUM, tensor, Dtype.FP32)
            yield full("state2", Part.ACCUMULATORS, tensor, Dtype.FP32)
            return
        scales = (-(-tensor.num_entries // BLOCK),)
        for number, part in ((1, Part.MOMENTUM), (2, Part.ACCUMULATORS)):
            yield full(f"state{number}", part, tensor, Dtype.UINT8)
            yield Kept(f"absmax{number}", part, scales, Dtype.FP32)

    def shared(self, tensors: Sequence[TensorShape]) -> Iterator[Kept]:
        """Yields the two tables, if any tensor is quantized."""
        if any(map(self._is_quantized, tensors)):
            yield Kept("qmap1", Part.OTHER, (LEVELS,), Dtype.FP32)
            yield Kept("qmap2", Part.OTHER, (LEVELS,), Dtype.FP32)

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """Nothing on CUDA, where kernels work in registers; on a CPU moments and their encodings in float32."""
        if step.device == "cuda" or not self._is_quantized(tensor):
            return 0
        return tensor.num_entries * Dtype.FP32.itemsize * (6 if tensor.dtype.is_half else 5)

    def notes(self, tensors: Sequence[TensorShape]) -> Iterator[str]:
        """Yields what users of its embeddings know."""
        yield "bitsandbytes advises 32-bit state for embeddings (StableEmbedding, or an override); not counted here"

    def _is_quantized(self, tensor: TensorShape) -> bool:
        return tensor.num_entries >= self.spec.min_8bit_size

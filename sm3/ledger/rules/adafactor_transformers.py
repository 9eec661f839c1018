"""Adafactor as `transformers` has it: as torch's, but float32 for 16-bit parameters, and a momentum if asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sm3.ledger.rules.base import Kept, Part, Rule, Step, Verified, full
from sm3.ledger.shapes import TensorShape
from sm3.remote.ledger_specs import AdafactorTransformersSpec, Dtype


class AdafactorTransformers(Rule[AdafactorTransformersSpec]):
    """`exp_avg_sq_row` and `exp_avg_sq_col` for rank ≥ 2, else `exp_avg_sq`; `RMS`; with `beta1`, `exp_avg`.

    Its step counter is a Python number and takes no tensor.
    """

    source = "transformers/optimization.py (class Adafactor); arXiv 1804.04235"
    verified = Verified("transformers", "5.24.0")

    @property
    def title(self) -> str:
        """Name, and momentum."""
        return f"Adafactor (transformers{', momentum' if self.spec.momentum else ''})"

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields momentum if asked for, the factors or the whole second moment, and the size of the tensor."""
        tensor = in_fp32(tensor)
        if self.spec.momentum:
            yield full("exp_avg", Part.MOMENTUM, tensor)
        yield from factored("exp_avg_sq", tensor)
        yield Kept("RMS", Part.OTHER, (), tensor.dtype)

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The update twice over; of a 16-bit tensor also the gradient and the parameter in float32."""
        return in_fp32(tensor).num_bytes * (4 if tensor.dtype.is_half else 2)

    def left_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The loop's variable `update` outlives its turn, unless it is the momentum itself."""
        return 0 if self.spec.momentum or tensor.dtype.is_half else tensor.num_bytes


def in_fp32(tensor: TensorShape) -> TensorShape:
    """The tensor as it is computed with: 16-bit floats in float32."""
    return replace(tensor, dtype=Dtype.FP32) if tensor.dtype.is_half else tensor


def factored(key: str, tensor: TensorShape) -> Iterator[Kept]:
    """Yields row and column factors for rank ≥ 2 and else the whole tensor, as fairseq's Adafactor names them."""
    shape = tensor.shape
    if len(shape) >= 2:
        yield Kept(f"{key}_row", Part.ACCUMULATORS, shape[:-1], tensor.dtype)
        yield Kept(f"{key}_col", Part.ACCUMULATORS, shape[:-2] + shape[-1:], tensor.dtype)
    else:
        yield full(key, Part.ACCUMULATORS, tensor)

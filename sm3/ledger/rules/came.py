"""CAME: Adafactor with momentum, and the same factors again for the instability of the update."""

from __future__ import annotations

from collections.abc import Iterator

from sm3.ledger.rules.adafactor_transformers import factored, in_fp32
from sm3.ledger.rules.base import Kept, Part, Rule, Step, Verified, full
from sm3.ledger.shapes import TensorShape
from sm3.remote.ledger_specs import CameSpec


class Came(Rule[CameSpec]):
    """`exp_avg`; `exp_avg_sq` and `exp_avg_res` by rows and columns, for a vector only `exp_avg_sq`; `RMS`.

    State is float32 for 16-bit parameters, except `RMS`, a 0-d tensor of the parameter's dtype.
    """

    source = "came_pytorch/CAME.py; arXiv 2307.02047, Algorithm 2"
    verified = Verified("came-pytorch", "0.1.3")
    title = "CAME"

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields momentum, both pairs of factors, and the size of the tensor."""
        wide = in_fp32(tensor)
        yield full("exp_avg", Part.MOMENTUM, wide)
        yield from factored("exp_avg_sq", wide)
        if len(tensor.shape) >= 2:
            yield from factored("exp_avg_res", wide)
        yield Kept("RMS", Part.OTHER, (), tensor.dtype)

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The update, its difference from momentum and its square; twice that where 16 bits are widened."""
        return in_fp32(tensor).num_bytes * (6 if tensor.dtype.is_half else 3)

    def left_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The loop's variables `update` and `res` outlive their turn."""
        return 0 if tensor.dtype.is_half else 2 * tensor.num_bytes

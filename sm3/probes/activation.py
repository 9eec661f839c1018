"""Which rows and columns of a gradient are active."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sm3.probes.base import Reading
from sm3.probes.tracking import Tracked


class Activation:
    """Shares of rows and columns whose gradient is zero throughout, for tensors of rank 2 and more.

    Series ``zero_rows/NAME`` (slices along dim 0) and ``zero_cols/NAME`` (along dim 1). The paper calls what
    they show an activation pattern (arXiv 1901.11150, section 4): whole rows of an embedding's gradient are
    either zero or not.

    Unit: share, 0 to 1. Cost: two passes over the gradient. Memory: one bool a gradient entry, for a moment.
    """

    name: ClassVar[str] = "activation"
    unit: ClassVar[str] = "share"

    def read(self, tensors: Sequence[Tracked]) -> Reading:
        """Returns the shares of ``tensors``."""
        reading = Reading()
        for tensor in tensors:
            if tensor.grad is None or len(tensor.shape) < 2 or tensor.grad.numel() == 0:
                continue
            active = tensor.grad != 0
            for dim, series in enumerate(("zero_rows", "zero_cols")):
                others = [k for k in range(active.dim()) if k != dim]
                share = active.any(dim=others).float().mean()
                reading.scalars[f"{series}/{tensor.name}"] = 1 - share
        return reading

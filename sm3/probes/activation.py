"""Which rows and columns of a gradient are active."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sm3.probes.base import Probe, Reading, max_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sm3.probes.tracking import Tracked


class Activation(Probe):
    """Which rows and columns of a gradient are not zero throughout, for tensors of rank 2 and more.

    Series ``zero_rows/NAME`` (slices along dim 0) and ``zero_cols/NAME`` (along dim 1): the share that is zero.
    Arrays ``activation/dim0/NAME`` and ``activation/dim1/NAME``: 1 where any slice of a bin is active, else 0. The
    paper calls what they show an activation pattern (arXiv 1901.11150, section 4): whole rows of an embedding's
    gradient are either zero or not.

    Kind: series and array a tensor. Unit: share, 0 to 1. Cost: two passes over the gradient. Memory: none kept; one
    bool a gradient entry for a moment.
    """

    name: ClassVar[str] = "activation"

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns shares and maps of ``tensors``."""
        reading = Reading()
        for tensor in tensors:
            if tensor.grad is None or len(tensor.shape) < 2 or tensor.grad.numel() == 0:
                continue
            active = tensor.grad != 0
            for dim, series in enumerate(("zero_rows", "zero_cols")):
                others = [k for k in range(active.dim()) if k != dim]
                slices = active.any(dim=others).float()
                reading.scalars[f"{series}/{tensor.name}"] = 1 - slices.mean()
                reading.arrays[f"activation/dim{dim}/{tensor.name}"] = max_pool(slices)
        return reading

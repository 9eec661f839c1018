"""Gradients that are no numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sm3.probes.base import Probe, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sm3.probes.tracking import Tracked


class NonFinite(Probe):
    """How many entries of each gradient are NaN or infinite, and how many of its accumulators.

    Series ``nonfinite/NAME`` and ``nonfinite_mu/NAME``; anything but 0 explains a lost run.

    Kind: series a tensor. Unit: entries. Cost: one pass over gradient and accumulators. Memory: none kept; one bool
    an entry for a moment.
    """

    name: ClassVar[str] = "nonfinite"

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the counts of ``tensors``."""
        reading = Reading()
        for tensor in tensors:
            if tensor.grad is not None:
                reading.scalars[f"nonfinite/{tensor.name}"] = (~tensor.grad.isfinite()).sum()
            if tensor.mu:
                bad = [(~mu.isfinite()).sum() for mu in tensor.mu]
                reading.scalars[f"nonfinite_mu/{tensor.name}"] = sum(bad[1:], bad[0])
        return reading

"""The momentum buffer in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Momentum:
    """The momentum `m` of one tensor.

    Attributes:
        values: float32, the parameter's shape.
    """

    values: Tensor

    @classmethod
    def zeros(cls, param: Tensor) -> Momentum:
        """A zero buffer: adds 4 bytes an entry."""
        return cls(torch.zeros_like(param, dtype=torch.float32, memory_format=torch.preserve_format))

    def blend(self, u: Tensor, beta: float) -> Tensor:
        """`m ← beta·m + (1−beta)·u` in place; returns the new `m` as float32."""
        return self.values.mul_(beta).add_(u, alpha=1 - beta)

"""The momentum buffer, in the precision asked for.

int8 keeps one absolute maximum for each run of up to 256 entries of a row, and for each entry the signed square
root of its share of that maximum in 127ths: small entries keep their relative precision beside large ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

RUN = 256
_LEVELS = 127


class MomentumDtype(StrEnum):
    """How momentum is stored."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


_STORED = {
    MomentumDtype.FP32: torch.float32,
    MomentumDtype.BF16: torch.bfloat16,
    MomentumDtype.INT8: torch.int8,
}


@dataclass(frozen=True, slots=True)
class Momentum:
    """The momentum `m` of one tensor.

    Attributes:
        values: float32, bfloat16 or int8, of the parameter's shape.
        scale: For int8, the absolute maximum of each run: float32 of shape (rows, ⌈cols/256⌉). Else None.
    """

    values: Tensor
    scale: Tensor | None = None

    @classmethod
    def zeros(cls, param: Tensor, dtype: MomentumDtype) -> Momentum:
        """A zero buffer: adds 4, 2, or 1 + 4/256 bytes an entry (int8 rows below 256 entries: 4 bytes a row)."""
        if dtype is not MomentumDtype.INT8:
            return cls(torch.zeros_like(param, dtype=_STORED[dtype], requires_grad=False))
        rows, cols = rows_and_columns(tuple(param.shape))
        scale = torch.zeros(rows, -(-cols // RUN), device=param.device)
        return cls(torch.zeros(param.shape, dtype=torch.int8, device=param.device), scale)

    def blend(self, u: Tensor, beta: float, rows: slice | None = None) -> Tensor:
        """`m ← beta·m + (1−beta)·u` in place; the new `m` before it is rounded for storage.

        Args:
            u: float32, of the parameter's shape; with `rows`, those rows of its 2-D view.
            beta: In (0, 1).
            rows: Which rows of the 2-D view to work on; None for the whole tensor.
        """
        values, scale = self.values, self.scale
        if rows is not None:
            values = values.view(rows_and_columns(tuple(values.shape)))[rows]
        if scale is None:
            if values.dtype == torch.float32:
                return values.mul_(beta).add_(u, alpha=1 - beta)
            m = values.float().mul_(beta).add_(u, alpha=1 - beta)
            values.copy_(m)
            return m
        scale = scale if rows is None else scale[rows]
        m = dequantized(values.reshape(scale.shape[0], -1), scale).reshape(u.shape)
        m = m.mul_(beta).add_(u, alpha=1 - beta)
        quantized, peaks = _quantized(m.reshape(scale.shape[0], -1))
        values.copy_(quantized.view(values.shape))
        scale.copy_(peaks)
        return m


def rows_and_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    """A tensor of `shape` as a matrix: dim 0 × the rest; a vector is one row."""
    if len(shape) <= 1:
        return 1, shape[0] if shape else 1
    cols = 1
    for size in shape[1:]:
        cols *= size
    return shape[0], cols


def dequantized(values: Tensor, scale: Tensor) -> Tensor:
    """float32 of int8 `values` (rows, cols) under `scale` (rows, ⌈cols/256⌉)."""
    share = _in_runs(values.float()).div_(_LEVELS)
    return _in_rows(share.mul_(share.abs()).mul_(scale[:, :, None]), values.shape[1])


def _quantized(m: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values (rows, cols) and scale (rows, ⌈cols/256⌉) of a float32 matrix."""
    share = _in_runs(m.abs())
    scale = share.amax(2)
    share.div_(scale[:, :, None]).sqrt_().nan_to_num_(0.0)  # 0/0 in runs of zeros
    levels = _in_rows(share.mul_(_LEVELS).add_(0.5).floor_(), m.shape[1])
    return levels.copysign_(m).to(torch.int8), scale


def _in_runs(matrix: Tensor) -> Tensor:
    """(rows, cols) as (rows, ⌈cols/256⌉, 256), zeros appended: a view where 256 divides cols, else a copy."""
    if matrix.shape[1] % RUN:
        matrix = torch.nn.functional.pad(matrix, (0, -matrix.shape[1] % RUN))
    return matrix.view(matrix.shape[0], -1, RUN)


def _in_rows(runs: Tensor, cols: int) -> Tensor:
    """What `_in_runs` made of a matrix with `cols` columns, back as one: a view."""
    return runs.view(runs.shape[0], -1)[:, :cols]

"""The Triton kernel: one pass over each tensor on a CUDA device, for slices along any dims.

Designed for ≥ 85 % of copy bandwidth by the bytes counted in `triton_tiles`; never measured on a GPU so far.
Checked against `sm3.update` by Triton's interpreter (TRITON_INTERPRET=1), which runs it on the CPU.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from sm3.covers import Slices
from sm3.kernels.momentum import MomentumDtype, rows_and_columns
from sm3.update import EPSILON, Variant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.covers.base import Cover
    from sm3.kernels.base import StepOptions, Work

name = "triton"
merit = "one pass on the GPU"

_TILE_ROWS, _TILE_COLS = 64, 128


def refuses(param: Tensor, cover: Cover, options: StepOptions) -> str | None:
    """Why the Triton kernel cannot serve such a tensor, or None where it can."""
    if param.device.type != "cuda" and not (_installed() and _interpreted()):
        return f"the tensor is on {param.device.type}"
    if not _installed():
        return "Triton is not installed"
    if not isinstance(cover, Slices) or param.dim() < 2:
        return f"it has no {cover.kind} cover of rank {param.dim()}"
    if param.dtype not in {torch.float32, torch.bfloat16, torch.float16}:
        return f"the parameter is {str(param.dtype).removeprefix('torch.')}"
    if not param.is_contiguous():
        return "the parameter is not contiguous"
    if options.variant is not Variant.II:
        return "it has SM3-II only"
    if options.momentum and options.momentum_dtype is MomentumDtype.INT8:
        return "it has no int8 momentum"
    return None


def run(batch: Sequence[Work], grads: Sequence[Tensor], options: StepOptions) -> None:
    """Step every tensor of the batch, a launch each; adds rows + 2·cols floats while it runs."""
    for work, grad in zip(batch, grads, strict=True):
        _step(work, grad.contiguous(), options)


def _step(work: Work, grad: Tensor, options: StepOptions) -> None:
    from sm3.kernels.triton_tiles import step_tile

    shape = tuple(work.param.shape)
    rows, cols = rows_and_columns(shape)
    by_dim = dict(zip(work.cover.dims_of(shape), work.mu, strict=True))  # type: ignore[attr-defined]
    row_mu = by_dim.pop(0, None)
    columns = Slices(dims=[dim - 1 for dim in by_dim]) if by_dim else None
    unused = work.param
    bound = new_col = new_row = unused
    if columns is not None:
        bound = columns.bound(tuple(by_dim.values()), shape[1:]).reshape(cols).contiguous()
        new_col = torch.zeros(cols, dtype=torch.int32, device=work.param.device)
    if row_mu is not None:
        new_row = torch.zeros(rows, dtype=torch.int32, device=work.param.device)
    lr = float(options.lr)
    step_tile[(-(-rows // _TILE_ROWS), -(-cols // _TILE_COLS))](
        work.param,
        grad,
        unused if work.momentum is None else work.momentum.values,
        unused if row_mu is None else row_mu,
        bound,
        new_row,
        new_col,
        rows,
        cols,
        lr,
        options.momentum,
        1.0 if options.beta2 is None else options.beta2,
        1.0 if options.beta2 is None else 1.0 - options.beta2,
        1.0 - lr * options.weight_decay,
        -1.0 if options.maximize else 1.0,
        EPSILON,
        has_row=row_mu is not None,
        has_col=columns is not None,
        has_momentum=work.momentum is not None,
        block_rows=_TILE_ROWS,
        block_cols=_TILE_COLS,
    )
    if row_mu is not None:
        row_mu.copy_(new_row.view(torch.float32))
    if columns is not None:
        reduced = columns.reduce(new_col.view(torch.float32).view(shape[1:]))
        for old, value in zip(by_dim.values(), reduced, strict=True):
            old.copy_(value)


@cache
def _installed() -> bool:
    return find_spec("triton") is not None


@cache
def _interpreted() -> bool:
    """Whether Triton runs its kernels on the CPU, as a test of them does."""
    return bool(import_module("triton").knobs.runtime.interpret)

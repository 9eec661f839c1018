"""SM3-II for one tile of a matrix, as a Triton program. Imported only where Triton is present.

Each program reads a tile of w and g once and writes w once: 12 bytes an entry without momentum and 20 with, for
float32. Its row and column maxima go by atomic max, on the bits of floats that are never negative (NaN is above
inf), into fresh accumulators: 4·(1/block_cols + 1/block_rows) bytes an entry more, 0.09 for tiles of 64 × 128.
"""

from importlib import import_module
from typing import Any

triton: Any = import_module("triton")
tl: Any = import_module("triton.language")


@triton.jit  # type: ignore[untyped-decorator]
def step_tile(  # type: ignore[no-untyped-def]
    w_ptr,
    g_ptr,
    m_ptr,
    row_ptr,
    col_ptr,
    new_row_ptr,
    new_col_ptr,
    rows,
    cols,
    lr,
    beta,
    keep,
    gain,
    decay,
    sign,
    epsilon,
    has_row: tl.constexpr,
    has_col: tl.constexpr,
    has_momentum: tl.constexpr,
    block_rows: tl.constexpr,
    block_cols: tl.constexpr,
):
    """Step one tile; the grid is (⌈rows/block_rows⌉, ⌈cols/block_cols⌉).

    Args:
        w_ptr: Parameter (rows, cols), any float dtype, row-major.
        g_ptr: Gradient, as the parameter.
        m_ptr: Momentum, float32 or bfloat16; unused without has_momentum.
        row_ptr: Row accumulators, float32 (rows,); unused without has_row.
        col_ptr: Column bounds, float32 (cols,); unused without has_col.
        new_row_ptr: int32 bits of the new row accumulators, zeros at the start.
        new_col_ptr: int32 bits of the new column maxima, zeros at the start.
        rows: Number of rows.
        cols: Number of columns.
        lr: Learning rate.
        beta: Momentum.
        keep: beta2, or 1 for sums.
        gain: 1 − beta2, or 1 for sums.
        decay: 1 − lr·λ.
        sign: −1 to maximize.
        epsilon: Added under the root.
        has_row: Whether rows are sets.
        has_col: Whether columns are sets.
        has_momentum: Whether there is momentum.
        block_rows: Rows of a tile.
        block_cols: Columns of a tile.
    """
    i = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    j = tl.program_id(1) * block_cols + tl.arange(0, block_cols)
    inside = (i < rows)[:, None] & (j < cols)[None, :]
    at = i.to(tl.int64)[:, None] * cols + j[None, :]
    g = sign * tl.load(g_ptr + at, mask=inside, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + at, mask=inside, other=0.0).to(tl.float32)
    if has_row:
        bound = tl.load(row_ptr + i, mask=i < rows, other=0.0)[:, None]
        if has_col:
            col = tl.load(col_ptr + j, mask=j < cols, other=0.0)[None, :]
            bound = tl.minimum(bound, col, propagate_nan=tl.PropagateNan.ALL)
    else:
        bound = tl.load(col_ptr + j, mask=j < cols, other=0.0)[None, :]
    nu = keep * bound + gain * (g * g)
    bits = nu.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    bits = tl.where(inside, bits, 0)
    if has_row:
        tl.atomic_max(new_row_ptr + i, tl.max(bits, axis=1), mask=i < rows)
    if has_col:
        tl.atomic_max(new_col_ptr + j, tl.max(bits, axis=0), mask=j < cols)
    u = tl.div_rn(g, tl.sqrt_rn(nu + epsilon))
    if has_momentum:
        m = tl.load(m_ptr + at, mask=inside, other=0.0).to(tl.float32)
        u = beta * m + (1 - beta) * u
        tl.store(m_ptr + at, u.to(m_ptr.dtype.element_ty), mask=inside)
    tl.store(w_ptr + at, (decay * w - lr * u).to(w_ptr.dtype.element_ty), mask=inside)

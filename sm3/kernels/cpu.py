"""The C kernel: one pass over each tensor, for contiguous float32 parameters on the CPU.

The whole batch goes down in one call, described by an array of int64 words laid out as `Task` in
`sm3/csrc/step.c`. It runs on `torch.get_num_threads()` threads, without the interpreter's lock.
"""

from __future__ import annotations

from array import array
from math import prod
from typing import TYPE_CHECKING

import torch

from sm3.covers import Blocks, Reshaped, Singletons, Slices, Whole
from sm3.kernels.momentum import RUN, MomentumDtype, rows_and_columns
from sm3.update import Variant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from torch import Tensor

    from sm3.covers.base import Cover, Shape
    from sm3.kernels.base import StepOptions, Work

name = "cpu"
merit = "one pass in C over contiguous float32"

_MAX_TRAILING = 7
_TASK_WORDS = 11 + 2 * _MAX_TRAILING
_SLICES, _BLOCKS, _SINGLETONS, _WHOLE = range(4)
_MOMENT = {torch.float32: 1, torch.bfloat16: 2, torch.int8: 3}


def _extension() -> ModuleType | None:
    """The compiled module; None where the package was installed without a compiler, or it is of older source."""
    try:
        from sm3.kernels import _cpu
    except ImportError:
        return None
    return _cpu if _cpu.TASK_WORDS == _TASK_WORDS else None


_cpu = _extension()


def refuses(param: Tensor, cover: Cover, options: StepOptions) -> str | None:
    """Why the C kernel cannot serve such a tensor, or None where it can."""
    if _cpu is None:
        return "the C extension is not built; install with a C compiler present"
    if param.device.type != "cpu":
        return f"the tensor is on {param.device.type}"
    if param.dtype != torch.float32:
        return f"the parameter is {str(param.dtype).removeprefix('torch.')}, not float32"
    if not param.is_contiguous():
        return "the parameter is not contiguous"
    if options.variant is not Variant.II:
        return "it has SM3-II only"
    own_shape = tuple(param.shape)
    cover, shape = _seen(cover, own_shape)
    if (
        options.momentum
        and options.momentum_dtype is MomentumDtype.INT8
        and _cuts_runs(cover, shape, own_shape)
    ):
        return "its walk over the tensor would cut runs of int8 momentum"
    if not isinstance(cover, Slices | Blocks | Singletons | Whole):
        return f"it has no {cover.kind} cover"
    if len(shape) - 1 > _MAX_TRAILING:
        return f"the rank {len(shape)} is above {_MAX_TRAILING + 1}"
    return None


def run(batch: Sequence[Work], grads: Sequence[Tensor], options: StepOptions) -> None:
    """Step every tensor of the batch; adds two column vectors a thread while it runs."""
    assert _cpu is not None  # or `refuses` would have said so
    words = array("q")
    kept = []  # copies of gradients with strides of their own, held until the call is over
    for work, grad in zip(batch, grads, strict=True):
        task = work.prepared
        if task is None:
            task = work.prepared = _task(work)
        if not grad.is_contiguous() or grad.dtype != torch.float32:
            grad = grad.float().contiguous()
            kept.append(grad)
        task[1] = grad.data_ptr()
        words.extend(task)
    lr = float(options.lr)
    keep, gain = (1.0, 1.0) if options.beta2 is None else (options.beta2, 1.0 - options.beta2)
    hyper = (
        -1.0 if options.maximize else 1.0,
        keep,
        gain,
        options.momentum,
        1.0 - options.momentum,
        1.0 - lr * options.weight_decay,
        lr,
    )
    _cpu.step(words.buffer_info()[0], len(batch), torch.get_num_threads(), hyper)


def first_nonfinite(grads: Sequence[Tensor]) -> int:
    """Position of the first of contiguous float32 CPU tensors that holds NaN or inf, or −1."""
    assert _cpu is not None
    words = array("q")
    for grad in grads:
        words.append(grad.data_ptr())
        words.append(grad.numel())
    return int(_cpu.first_nonfinite(words.buffer_info()[0], len(grads), torch.get_num_threads()))


def checks(grad: Tensor) -> bool:
    """Whether `first_nonfinite` can look at this gradient."""
    return (
        _cpu is not None
        and grad.dtype == torch.float32
        and grad.device.type == "cpu"
        and not grad.is_sparse
        and grad.is_contiguous()
    )


def _cuts_runs(cover: Cover, shape: Shape, own_shape: Shape) -> bool:
    """Whether the tensor is walked in rows that are not those int8 momentum is laid out in."""
    if isinstance(cover, Singletons | Whole) or (isinstance(cover, Slices) and len(shape) < 2):
        rows, cols = rows_and_columns(own_shape)
        return rows > 1 and cols % RUN != 0
    return shape != own_shape or len(shape) < 2


def _seen(cover: Cover, shape: Shape) -> tuple[Cover, Shape]:
    """Look through reshapes: a contiguous tensor is the same in every view."""
    while isinstance(cover, Reshaped):
        shape = cover.view_of(shape)
        cover = cover.inner
    return cover, shape


def _merged(sizes: Shape, edges: list[int]) -> tuple[Shape, list[int]]:
    """Fewer dims for the same tiles: a last dim that one tile spans is taken into the dim before it."""
    merged_sizes, merged_edges = list(sizes), list(edges)
    while len(merged_sizes) > 1 and merged_edges[-1] >= merged_sizes[-1]:
        size = merged_sizes.pop()
        merged_edges.pop()
        merged_sizes[-1] *= size
        merged_edges[-1] *= size
    return tuple(merged_sizes), merged_edges


def _task(work: Work) -> array[int]:
    """The words that describe a tensor; the address of its gradient is filled in at each step."""
    cover, shape = _seen(work.cover, tuple(work.param.shape))
    momentum = work.momentum
    rows, trailing = (shape[0], shape[1:]) if shape else (1, ())
    cols = prod(trailing)
    mu = [t.data_ptr() for t in work.mu]
    row_mu, row_edge, of = mu[0], 0, [0] * len(trailing)
    if isinstance(cover, Slices) and len(shape) >= 2:
        kind = _SLICES
        by_dim = dict(zip(cover.dims_of(shape), mu, strict=True))
        row_mu, of = by_dim.get(0, 0), [by_dim.get(dim, 0) for dim in range(1, len(shape))]
    elif isinstance(cover, Blocks) and shape:
        kind = _BLOCKS
        row_edge, *of = cover.edges_of(shape)
        trailing, of = _merged(trailing, of)
    else:
        kind = _WHOLE if isinstance(cover, Whole) else _SINGLETONS
        rows, cols = rows_and_columns(tuple(work.param.shape))
    return array(
        "q",
        [
            work.param.data_ptr(),
            0,
            0 if momentum is None else momentum.values.data_ptr(),
            0 if momentum is None or momentum.scale is None else momentum.scale.data_ptr(),
            0 if momentum is None else _MOMENT[momentum.values.dtype],
            kind,
            rows,
            cols,
            row_mu,
            row_edge,
            len(trailing),
            *(list(trailing) + [0] * _MAX_TRAILING)[:_MAX_TRAILING],
            *(of + [0] * _MAX_TRAILING)[:_MAX_TRAILING],
        ],
    )

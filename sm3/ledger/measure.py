"""Measures what the ledger predicts: a module's tensors, an optimizer's state, a step's peak. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from sm3.ledger.shapes import TensorShape
from sm3.remote.ledger_specs import Dtype

_DTYPES = {
    torch.float64: Dtype.FP64,
    torch.float32: Dtype.FP32,
    torch.float16: Dtype.FP16,
    torch.bfloat16: Dtype.BF16,
    torch.int64: Dtype.INT64,
    torch.int32: Dtype.INT32,
    torch.int8: Dtype.INT8,
    torch.uint8: Dtype.UINT8,
    torch.bool: Dtype.BOOL,
}


def tensors_of(model: torch.nn.Module, *, buffers: bool = True) -> tuple[TensorShape, ...]:
    """Returns a module's parameters, tied ones once, and its buffers as tensors that are not trained.

    Args:
        model: on any device, `meta` too: only shapes and dtypes are read.
        buffers: whether buffers are listed.

    Raises:
        ValueError: A tensor's dtype is none the ledger knows, such as a complex one.
    """
    found = [_shape_of(name, param, param.requires_grad) for name, param in model.named_parameters()]
    if buffers:
        found += [_shape_of(name, buffer, False) for name, buffer in model.named_buffers()]
    return tuple(found)


def _shape_of(name: str, tensor: torch.Tensor, trainable: bool) -> TensorShape:
    if tensor.dtype not in _DTYPES:
        raise ValueError(f"{name!r} is {tensor.dtype}; the ledger knows {', '.join(map(str, _DTYPES))}")
    return TensorShape(name, tuple(tensor.shape), _DTYPES[tensor.dtype], trainable)


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Returns the bytes of all tensors in an optimizer's state, shared ones and views of one memory once.

    Tensor subclasses count by the tensors inside them (torchao's 8-bit state). Non-tensors take no tensor memory and
    do not count.
    """
    storages = {}
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, torch.Tensor):
                for inner in _plain(value):
                    storages[inner.untyped_storage()._cdata] = inner.untyped_storage().nbytes()
    return sum(storages.values())


def state_bytes_of(optimizer: torch.optim.Optimizer, param: torch.Tensor) -> dict[str, int]:
    """Returns the bytes of each tensor that an optimizer keeps for one parameter, by its key.

    The tensors inside a subclass have keys such as ``exp_avg.codes``.
    """
    found: dict[str, int] = {}
    for key, value in optimizer.state.get(param, {}).items():
        if isinstance(value, torch.Tensor):
            for path, inner in _inside(value, key):
                found[path] = inner.numel() * inner.element_size()
    return found


def step_peak_bytes(step: Callable[[], object]) -> int:
    """Returns the most CPU memory that torch's allocator held more during `step` than before it.

    Memory that extensions allocate by themselves, such as the C kernel's vectors, is not seen.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    recorded = profiler.profiler.kineto_results.events()
    held = peak = 0
    for event in sorted((e for e in recorded if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def _plain(value: torch.Tensor) -> Iterator[torch.Tensor]:
    for _, inner in _inside(value, ""):
        yield inner


def _inside(value: torch.Tensor, key: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that hold a value: itself, or those a subclass is made of."""
    flatten = getattr(value, "__tensor_flatten__", None)
    if flatten is None:
        yield key, value
        return
    for name in flatten()[0]:
        yield from _inside(getattr(value, name), f"{key}.{name}")

"""What a worker says of itself after its first step: tensors and measured bytes."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import torch

from sm3.optimizer import SM3
from sm3.probes.accumulators import parts
from sm3.probes.state_rules import StateRule, rule_of
from sm3.probes.tracking import Tracked, tracked
from sm3.remote.wire import AdvisedTensor, Manifest, Memory, TensorInfo


def build_manifest(
    optimizer: torch.optim.Optimizer,
    *,
    attempt: int,
    device: torch.device,
    provenance: Mapping[str, str],
    averaging_bytes: int = 0,
    probe_bytes: int = 0,
    advice: tuple[AdvisedTensor, ...] = (),
    resumed_step: int = 0,
) -> Manifest:
    """Returns the manifest of an optimizer that has stepped, here or before a checkpoint; bytes are measured."""
    kernels = {c.name: c.kernel for c in optimizer.kernels()} if isinstance(optimizer, SM3) else {}
    rule = rule_of(optimizer)
    by_name = {t.name: t for t in tracked(optimizer, [0.0] * len(optimizer.param_groups))}
    tensors = []
    parameter_bytes = state_bytes = 0
    for group in optimizer.param_groups:
        for name, param in zip(group["param_names"], group["params"], strict=True):
            parameter_bytes += param.nbytes
            state_bytes += sum(
                v.nbytes for v in optimizer.state[param].values() if isinstance(v, torch.Tensor)
            )
            kernel = kernels.get(name, "")
            tensors.append(_tensor_info(by_name[name], param, optimizer.state[param], rule, kernel))
    accumulator_bytes = sum(t.accumulator_bytes for t in tensors)
    momentum_bytes = sum(t.momentum_bytes for t in tensors)
    num_parameters = sum(p.numel() for g in optimizer.param_groups for p in g["params"])
    return Manifest(
        attempt=attempt,
        resumed_step=resumed_step,
        tensors=tuple(tensors),
        memory=Memory(
            num_parameters=num_parameters,
            parameter_bytes=parameter_bytes,
            accumulator_bytes=accumulator_bytes,
            momentum_bytes=momentum_bytes,
            state_bytes=state_bytes,
            adam_bytes=8 * num_parameters,
            adagrad_bytes=4 * num_parameters,
            averaging_bytes=averaging_bytes,
            probe_bytes=probe_bytes,
        ),
        advice=advice,
        provenance=dict(provenance),
        device=_describe(device),
        versions={"torch": torch.__version__, "python": platform.python_version()},
    )


def _tensor_info(
    tensor: Tracked, param: torch.Tensor, state: Mapping[str, object], rule: StateRule, kernel: str
) -> TensorInfo:
    """Describes one tensor. Only SM3 has covers: what others keep, probes see as singletons, but it is none."""
    has_covers = issubclass(rule.optimizer, SM3)
    accumulator_bytes = rule.accumulator_bytes(state)
    return TensorInfo(
        name=tensor.name,
        shape=tensor.shape,
        dtype=str(param.dtype).removeprefix("torch."),
        cover=tensor.cover.kind if tensor.cover is not None and has_covers else "",
        parts=parts(tensor),
        num_accumulators=accumulator_bytes // 4,
        accumulator_bytes=accumulator_bytes,
        momentum_bytes=rule.momentum_bytes(state),
        kernel=kernel,
    )


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"

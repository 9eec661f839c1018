"""From a spec to the optimizer it describes."""

from __future__ import annotations

import pytest
import torch

from server.worker.manifest import build_manifest
from server.worker.optimizers import build_optimizer, build_schedule
from sm3 import SM3
from sm3.remote.job_specs import ScheduleSpec
from sm3.remote.optimizer_specs import AdamWSpec, OptimizerSpec, Sm3Spec


def stepped(spec: OptimizerSpec) -> torch.optim.Optimizer:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(10, 8), torch.nn.Linear(8, 6))
    optimizer = build_optimizer(spec, model)
    model(torch.tensor([1, 2])).square().sum().backward()
    optimizer.step()
    return optimizer


def manifest(spec: OptimizerSpec):
    return build_manifest(stepped(spec), attempt=0, device=torch.device("cpu"), provenance={})


def test_every_field_of_the_spec_reaches_the_optimizer() -> None:
    spec = Sm3Spec.model_validate({
        "lr": 0.3,
        "momentum": 0.5,
        "momentum_dtype": "bf16",
        "variant": "I",
        "beta2": 0.9,
        "weight_decay": 0.01,
        "rules": [{"match": "0.*", "cover": {"kind": "slices", "dims": [0]}}],
    })
    optimizer = stepped(spec)
    assert isinstance(optimizer, SM3)
    (group,) = optimizer.param_groups
    for field in ("lr", "momentum", "momentum_dtype", "variant", "beta2", "weight_decay"):
        assert str(group[field]) == str(getattr(spec, field)), field
    weights = dict(zip(group["param_names"], group["params"], strict=True))
    assert [len(mu) for mu in optimizer.accumulators(weights["0.weight"])] == [10]
    assert [len(mu) for mu in optimizer.accumulators(weights["1.weight"])] == [6, 8]


@pytest.mark.parametrize(
    ("momentum", "dtype", "momentum_bytes"), [(0.9, "fp32", 536), (0.9, "bf16", 268), (0, "fp32", 0)]
)
def test_measured_bytes_are_those_of_the_shapes(momentum: float, dtype: str, momentum_bytes: int) -> None:
    memory = manifest(Sm3Spec(momentum=momentum, momentum_dtype=dtype)).memory
    assert memory.num_parameters == 10 * 8 + 6 * 8 + 6
    assert memory.accumulator_bytes == 4 * (10 + 8 + 6 + 8 + 6)
    assert memory.momentum_bytes == momentum_bytes
    assert memory.state_bytes == memory.accumulator_bytes + momentum_bytes
    assert memory.adam_bytes == 8 * memory.num_parameters


def test_adamw_is_measured_too() -> None:
    memory = manifest(AdamWSpec()).memory
    assert memory.accumulator_bytes == memory.momentum_bytes == 4 * memory.num_parameters
    assert memory.state_bytes == memory.adam_bytes + 3 * 4


def test_the_schedule_rises_and_cools_down() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = build_schedule(ScheduleSpec(warmup=0.5, power=2, cooldown=0.25), optimizer, steps=8)
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([2 / 16, 2 / 4, 2 * 9 / 16, 2, 2, 2, 1, 0])

"""From a spec to the optimizer it describes."""

from __future__ import annotations

import pytest
import torch

from server.worker.manifest import build_manifest
from server.worker.optimizers import build_optimizer, build_schedule
from sm3 import SM3
from sm3.probes.accumulators import Accumulators
from sm3.probes.tracking import tracked
from sm3.remote.job_specs import ScheduleSpec
from sm3.remote.optimizer_specs import (
    AdafactorSpec,
    AdagradSpec,
    AdamWSpec,
    OptimizerSpec,
    SgdSpec,
    Sm3Spec,
)


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


BASELINES = [AdamWSpec(), AdagradSpec(), AdafactorSpec(), SgdSpec(), SgdSpec(momentum=0)]
NAMES = ["adamw", "adagrad", "adafactor", "sgd", "sgd without momentum"]


def test_adagrad_adafactor_and_sgd_are_measured_by_what_each_keeps() -> None:
    matrices, vector = [(10, 8), (6, 8)], 6
    memory = manifest(AdagradSpec()).memory
    assert (memory.accumulator_bytes, memory.momentum_bytes) == (memory.adagrad_bytes, 0)
    memory = manifest(AdafactorSpec()).memory
    factors = sum(m + n for m, n in matrices)
    assert (memory.accumulator_bytes, memory.momentum_bytes) == (4 * (factors + vector), 0)
    memory = manifest(SgdSpec()).memory
    assert (memory.accumulator_bytes, memory.momentum_bytes) == (0, 4 * memory.num_parameters)
    assert manifest(SgdSpec(momentum=0)).memory.state_bytes == 0


@pytest.mark.parametrize("spec", BASELINES, ids=NAMES)
def test_bytes_of_a_baseline_equal_those_of_its_states_tensors(spec: OptimizerSpec) -> None:
    optimizer = stepped(spec)
    told = build_manifest(optimizer, attempt=0, device=torch.device("cpu"), provenance={})
    (group,) = optimizer.param_groups
    for tensor, param in zip(told.tensors, group["params"], strict=True):
        state = {k: v for k, v in optimizer.state[param].items() if isinstance(v, torch.Tensor)}
        assert tensor.accumulator_bytes + tensor.momentum_bytes == sum(
            v.nbytes for k, v in state.items() if k != "step"
        )
        assert tensor.num_accumulators * 4 == tensor.accumulator_bytes
    whole = [v for s in optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor)]
    assert told.memory.state_bytes == sum(v.nbytes for v in whole)


@pytest.mark.parametrize("spec", BASELINES, ids=NAMES)
def test_a_baseline_has_no_cover_and_the_parts_that_its_frames_hold(spec: OptimizerSpec) -> None:
    optimizer = stepped(spec)
    told = build_manifest(optimizer, attempt=0, device=torch.device("cpu"), provenance={})
    arrays = Accumulators().read(list(tracked(optimizer, [0.1])), 1).arrays
    assert {tensor.cover for tensor in told.tensors} == {""}
    assert {f"accumulators/{part}/{tensor.name}" for tensor in told.tensors for part in tensor.parts} == set(
        arrays
    )
    assert bool(arrays) != isinstance(spec, SgdSpec)


@pytest.mark.parametrize(
    ("spec", "kind", "options"),
    [
        (AdagradSpec(lr=0.3, eps=1e-6), torch.optim.Adagrad, {"lr": 0.3, "eps": 1e-6, "weight_decay": 0}),
        (
            AdafactorSpec(lr=0.3, beta2_decay=-0.5, clip=2, weight_decay=0.1),
            torch.optim.Adafactor,
            {"lr": 0.3, "beta2_decay": -0.5, "d": 2, "weight_decay": 0.1},
        ),
        (
            SgdSpec(lr=0.3, momentum=0.5, weight_decay=0.1),
            torch.optim.SGD,
            {"lr": 0.3, "momentum": 0.5, "weight_decay": 0.1, "dampening": 0, "nesterov": False},
        ),
    ],
    ids=["adagrad", "adafactor", "sgd"],
)
def test_every_field_of_a_baselines_spec_reaches_torch(
    spec: OptimizerSpec, kind: type, options: dict[str, object]
) -> None:
    optimizer = stepped(spec)
    assert type(optimizer) is kind
    assert {key: optimizer.param_groups[0][key] for key in options} == options


def test_the_schedule_rises_and_cools_down() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = build_schedule(ScheduleSpec(warmup=0.5, power=2, cooldown=0.25), optimizer, steps=8)
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([2 / 16, 2 / 4, 2 * 9 / 16, 2, 2, 2, 1, 0])

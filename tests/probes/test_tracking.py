"""What probes see of torch's own optimizers, against what those were computed to hold."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from sm3 import SM3
from sm3.covers import Singletons
from sm3.probes.accumulators import Accumulators
from sm3.probes.rates import Rates
from sm3.probes.state_rules import RULES, rule_of
from sm3.probes.tracking import Tracked, tracked

SHAPES = ((), (5,), (1, 4), (6, 3), (3, 2, 4))
STEPS = 7
BASELINES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adafactor": torch.optim.Adafactor,
    "sgd": torch.optim.SGD,
}


def params(dtype: torch.dtype = torch.float32) -> list[tuple[str, torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (f"p{k}", torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)))
        for k, shape in enumerate(SHAPES)
    ]


def grads(dtype: torch.dtype = torch.float32) -> list[list[Tensor]]:
    """Whole numbers, so that sums of squares are exact; the first entry never has a gradient."""
    generator = torch.Generator().manual_seed(2)
    steps = [[torch.randint(-3, 4, s, generator=generator).to(dtype) for s in SHAPES] for _ in range(STEPS)]
    for g in (g for step in steps for g in step):
        g.view(-1)[0] = 0
    return steps


def train(
    make: Callable[..., torch.optim.Optimizer], dtype: torch.dtype = torch.float32, **options: object
) -> tuple[torch.optim.Optimizer, list[Tensor]]:
    """Takes all steps; returns the optimizer and what the last one added to each parameter."""
    named = params(dtype)
    optimizer = make(named, **options)
    before: list[Tensor] = []
    for step in grads(dtype):
        before = [param.detach().clone() for _, param in named]
        for (_, param), grad in zip(named, step, strict=True):
            param.grad = grad.clone()
        optimizer.step()
    return optimizer, [param.detach() - old for (_, param), old in zip(named, before, strict=True)]


def seen(optimizer: torch.optim.Optimizer, lr: float = 0.5) -> list[Tracked]:
    return list(tracked(optimizer, [lr]))


def mu(tensor: Tracked) -> Tensor:
    (values,) = tensor.mu
    assert tuple(values.shape) == tensor.shape
    assert values.dtype is torch.float32
    assert not values.requires_grad
    return values


def test_adagrads_sums_are_exactly_the_sums_of_squared_gradients() -> None:
    optimizer, _ = train(torch.optim.Adagrad, lr=0.1)
    for k, tensor in enumerate(seen(optimizer)):
        assert tensor.cover == Singletons()
        assert torch.equal(mu(tensor), sum(step[k].square() for step in grads()))


@pytest.mark.parametrize("make", [torch.optim.AdamW, torch.optim.Adam])
def test_adams_second_moment_is_the_textbooks(make: type[torch.optim.Optimizer]) -> None:
    optimizer, _ = train(make, betas=(0.9, 0.99))
    for k, tensor in enumerate(seen(optimizer)):
        v = torch.zeros(SHAPES[k], dtype=torch.float64)
        for step in grads(torch.float64):
            v = 0.99 * v + 0.01 * step[k].square()
        wanted = (v / (1 - 0.99**STEPS)).float()
        torch.testing.assert_close(mu(tensor), wanted, rtol=1e-5, atol=0)  # v is kept in float32 by torch


def test_under_amsgrad_the_second_moment_is_the_largest_so_far() -> None:
    optimizer, _ = train(torch.optim.AdamW, betas=(0.9, 0.5), amsgrad=True)
    for k, tensor in enumerate(seen(optimizer)):
        v = largest = torch.zeros(SHAPES[k], dtype=torch.float64)
        for step in grads(torch.float64):
            v = 0.5 * v + 0.5 * step[k].square()
            largest = largest.maximum(v)
        torch.testing.assert_close(mu(tensor), (largest / (1 - 0.5**STEPS)).float(), rtol=1e-5, atol=0)


def test_adafactors_second_moment_is_the_square_of_what_it_divided_by() -> None:
    # Without clipping, the step it took is alpha·g/denominator with alpha known.
    optimizer, deltas = train(torch.optim.Adafactor, torch.float64, lr=0.01, d=1e9)
    alpha_of = {}
    for (name, param), delta in zip(zip(*group_of(optimizer), strict=True), deltas, strict=True):
        rms = float((param.detach() - delta).norm()) / param.numel() ** 0.5
        alpha_of[name] = max(1e-3, rms) * min(0.01, STEPS**-0.5)
    compared = 0
    for tensor, grad, delta in zip(seen(optimizer), grads(torch.float64)[-1], deltas, strict=True):
        moved = grad != 0
        denominator = (alpha_of[tensor.name] * grad / -delta)[moved]
        torch.testing.assert_close(mu(tensor)[moved], denominator.square().float(), rtol=1e-5, atol=0)
        compared += int(moved.sum())
    assert compared > 30


def group_of(optimizer: torch.optim.Optimizer) -> tuple[list[str], list[Tensor]]:
    (group,) = optimizer.param_groups
    return group["param_names"], group["params"]


def test_adafactor_divides_a_faint_gradient_by_the_floor_of_torch_and_that_is_what_is_seen() -> None:
    param = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = torch.optim.Adafactor([("w", param)])
    param.grad = torch.full((3, 2), 1e-5)
    optimizer.step()
    (tensor,) = seen(optimizer)
    wanted = torch.full((3, 2), 1e-10 * 1e-10 / torch.finfo(torch.float32).eps)  # r·c/eps, not r·c/mean(r)
    torch.testing.assert_close(mu(tensor), wanted, rtol=1e-4, atol=0)


def test_sgd_has_no_second_moment() -> None:
    optimizer, _ = train(torch.optim.SGD, lr=0.1, momentum=0.9)
    assert {(t.cover, t.mu) for t in seen(optimizer)} == {(None, ())}
    assert all(tensor.grad is not None for tensor in seen(optimizer))


@pytest.mark.parametrize("name", ["adagrad", "adam", "adamw", "adafactor"])
def test_what_no_gradient_has_touched_is_zero_and_what_one_has_is_not(name: str) -> None:
    optimizer, _ = train(BASELINES[name])
    for tensor, touched in zip(seen(optimizer), map(torch.stack, zip(*grads(), strict=True)), strict=True):
        if name != "adafactor" or len(tensor.shape) < 2:  # its factors spread over whole rows and columns
            assert torch.equal(mu(tensor) > 0, touched.ne(0).any(0))


@pytest.mark.parametrize("name", sorted(BASELINES.keys() - {"adagrad"}))
def test_before_the_first_step_nothing_is_known_and_asking_changes_nothing(name: str) -> None:
    optimizer = BASELINES[name](params())
    assert all(tensor.cover is None and tensor.mu == () for tensor in seen(optimizer))
    assert not optimizer.state


def test_adagrad_makes_its_sums_before_the_first_step_and_they_are_zero() -> None:
    assert all(not mu(tensor).any() for tensor in seen(torch.optim.Adagrad(params())))


@pytest.mark.parametrize("name", BASELINES)
def test_reading_changes_neither_state_nor_parameters(name: str) -> None:
    optimizer, _ = train(BASELINES[name])
    before = copy.deepcopy(optimizer.state_dict())
    values = [param.detach().clone() for param in group_of(optimizer)[1]]
    Rates().read(seen(optimizer), STEPS)
    Accumulators().read(seen(optimizer), STEPS)
    after = optimizer.state_dict()
    assert str(before["param_groups"]) == str(after["param_groups"])
    for index, state in before["state"].items():
        assert state.keys() == after["state"][index].keys()
        for key, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(after["state"][index][key]))
    assert all(torch.equal(a, b) for a, b in zip(values, group_of(optimizer)[1], strict=True))


def test_probes_read_a_baseline_as_they_read_singletons() -> None:
    adagrad, _ = train(torch.optim.Adagrad, lr=0.1)
    singletons, _ = train(SM3, lr=0.1, momentum=0, cover={"kind": "singletons"})
    for probe in (Accumulators(), Rates()):
        ours, theirs = (probe.read(seen(optimizer), STEPS) for optimizer in (singletons, adagrad))
        for a, b in ((ours.arrays, theirs.arrays), (ours.scalars, theirs.scalars)):
            assert a.keys() == b.keys()
            for key in a:
                torch.testing.assert_close(a[key], b[key], rtol=0, atol=0, equal_nan=True)


def test_every_rule_names_all_tensors_of_its_optimizers_state() -> None:
    made = {**BASELINES, "sm3": SM3, "int8": partial(SM3, momentum_dtype="int8")}
    for name, make in made.items():
        optimizer, _ = train(make, lr=0.1)
        for state in optimizer.state.values():
            tensors = {k: v for k, v in state.items() if isinstance(v, Tensor) and k != "step"}
            rule = rule_of(optimizer)
            named = rule.accumulator_bytes(state) + rule.momentum_bytes(state)
            assert named == sum(v.nbytes for v in tensors.values()), name
    assert len({rule.optimizer for rule in RULES}) == len(RULES)


def test_of_an_optimizer_without_a_rule_nothing_is_said() -> None:
    optimizer, _ = train(torch.optim.RMSprop)
    assert all(tensor.cover is None for tensor in seen(optimizer))
    assert rule_of(optimizer).accumulator_bytes(optimizer.state[group_of(optimizer)[1][0]]) == 0

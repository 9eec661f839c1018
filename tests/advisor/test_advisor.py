"""The advisor: its knapsack against brute force, its choices against slices, its measurements against shadows."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3 import SM3, advise
from sm3.advisor.candidates import CANDIDATES, bytes_of, candidates_for
from sm3.advisor.knapsack import Option, choose
from sm3.advisor.objectives import OBJECTIVES
from sm3.covers import Blocks, Singletons, Slices, Whole

OPTIONS = st.builds(Option, num_bytes=st.integers(0, 30), cost=st.floats(0, 10))
TENSORS = st.lists(st.lists(OPTIONS, min_size=1, max_size=4), min_size=1, max_size=5)


def brute_force(tensors: list[list[Option]], budget: int) -> float | None:
    costs = [
        sum(o.cost for o in pick) for pick in product(*tensors) if sum(o.num_bytes for o in pick) <= budget
    ]
    return min(costs, default=None)


@settings(max_examples=200, deadline=None)
@given(tensors=TENSORS, budget=st.integers(0, 120))
def test_the_knapsack_equals_brute_force(tensors: list[list[Option]], budget: int) -> None:
    best = brute_force(tensors, budget)
    if best is None:
        with pytest.raises(ValueError, match="give at least that"):
            choose(tensors, budget)
        return
    chosen = [options[k] for options, k in zip(tensors, choose(tensors, budget), strict=True)]
    assert sum(o.num_bytes for o in chosen) <= budget
    assert sum(o.cost for o in chosen) == pytest.approx(best, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(tensors=TENSORS, budget=st.integers(0, 120), frontier=st.integers(2, 5))
def test_a_thinned_frontier_still_keeps_the_budget(
    tensors: list[list[Option]], budget: int, frontier: int
) -> None:
    if brute_force(tensors, budget) is None:
        return
    chosen = choose(tensors, budget, frontier=frontier)
    assert len(chosen) == len(tensors)
    assert sum(options[k].num_bytes for options, k in zip(tensors, chosen, strict=True)) <= budget


def gradients(seed: int, steps: int = 4, outliers: float = 0.0) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(steps):
        step = {
            "embed": torch.randn(40, 12, generator=generator) * torch.linspace(0.1, 10, 40)[:, None],
            "mix": torch.randn(12, 16, generator=generator),
            "bias": torch.randn(16, generator=generator),
        }
        step["mix"][3, 5] += outliers
        step["mix"][9, 11] += outliers
        found.append(step)
    return found


PARAMS = {"embed": torch.nn.Parameter(torch.zeros(40, 12)), "mix": torch.nn.Parameter(torch.zeros(12, 16)),
          "bias": torch.nn.Parameter(torch.zeros(16))}  # fmt: skip
SLICES_BYTES = 4 * (40 + 12 + 12 + 16 + 16)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    objective=st.sampled_from(sorted(OBJECTIVES)),
    budget=st.integers(12, 3 * SLICES_BYTES),
)
def test_advice_stays_within_its_budget_and_is_never_worse_than_slices_at_their_bytes(
    seed: int, objective: str, budget: int
) -> None:
    advice = advise(PARAMS, gradients(seed), budget_bytes=budget, objective=objective)
    assert advice.num_bytes <= budget
    assert advice.slices_bytes == SLICES_BYTES
    if budget >= SLICES_BYTES:
        assert advice.cost <= advice.slices_cost


def test_with_room_for_everything_adagrad_is_advised_and_with_none_one_number_a_tensor() -> None:
    rich = advise(PARAMS, gradients(0), budget_bytes=10**9)
    assert {c.cover for c in rich.choices if c.name != "bias"} == {Singletons()}
    assert rich.cost == 0
    poor = advise(PARAMS, gradients(0), budget_bytes=12)
    assert {c.cover for c in poor.choices} == {Whole()}


def test_where_outliers_pollute_crossings_something_tighter_than_slices_is_advised() -> None:
    mix = {"mix": torch.nn.Parameter(torch.zeros(12, 16))}
    steps = [{"mix": step["mix"]} for step in gradients(1)]
    for step in steps:
        step["mix"][range(0, 12, 2), range(0, 12, 2)] += 300.0  # six outliers, thirty crossings
    advice = advise(mix, steps, budget_bytes=4 * (12 + 16) * 2)
    assert advice.choices[0].cover != Slices()
    assert advice.cost < 0.7 * advice.slices_cost


def test_what_is_expected_is_what_an_optimizer_under_the_advice_then_measures() -> None:
    from sm3.probes.recorder import Recorder
    from sm3.remote.record_specs import RecordSpec

    advice = advise(PARAMS, gradients(2), budget_bytes=2 * SLICES_BYTES)
    copies = [(name, torch.nn.Parameter(p.detach().clone())) for name, p in PARAMS.items()]
    optimizer = SM3(copies, lr=0.1, rules=advice.rules)
    recorder = Recorder(optimizer, RecordSpec(probes=("tightness",)))
    for step in gradients(2):
        for name, param in copies:
            param.grad = step[name]
        optimizer.step()
        recorder.observe()
    _, scalars = recorder.read(10, [0.1])
    assert advice.num_bytes == optimizer.state_bytes().accumulators_bytes
    for choice in advice.choices:
        if choice.cover != Singletons():
            assert scalars[f"tightness_level/{choice.name}"] == pytest.approx(
                choice.expected["level"], abs=1e-4
            )
            assert scalars[f"tightness_spread/{choice.name}"] == pytest.approx(
                choice.expected["spread"], abs=1e-4
            )


def test_gradients_may_be_those_that_the_parameters_hold_and_are_left_there() -> None:
    model = torch.nn.Linear(6, 5)

    def warm_up():
        for _ in range(3):
            model.zero_grad()
            model(torch.randn(4, 6)).square().sum().backward()
            yield None

    advice = advise(model, warm_up(), budget_bytes=100)
    assert advice.steps == 3
    assert model.weight.grad is not None


def test_no_candidate_keeps_more_than_adagrad() -> None:
    for shape in ((), (5,), (3, 4), (64, 64), (2, 3, 4), (512, 8)):
        for cover in candidates_for(shape):
            assert bytes_of(cover, shape) <= 4 * prod(shape)
    assert Blocks(8) in CANDIDATES
    assert Blocks(8) in candidates_for((64, 64))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"budget_bytes": 11}, r"budget_bytes=11; the smallest covers of all 3 tensors take 12 bytes"),
        ({"budget_bytes": 99, "objective": "luck"}, "objective 'luck'; allowed: spread, level, p99"),
        ({"budget_bytes": 99, "warm_up": []}, "yielded no gradients"),
        (
            {"budget_bytes": 99, "warm_up": [{"mix": torch.zeros(2, 2)}]},
            r"'mix' of shape \(2, 2\) fits no parameter",
        ),
        ({"budget_bytes": 99, "warm_up": [{"mux": torch.zeros(2, 2)}]}, "'mux' .* fits no parameter"),
    ],
)
def test_bad_input_says_what_was_given_and_what_is_allowed(arguments: dict, told: str) -> None:
    asked = {"warm_up": gradients(0), **arguments}
    with pytest.raises(ValueError, match=told):
        advise(PARAMS, asked.pop("warm_up"), **asked)


def test_a_matrix_of_one_column_does_not_lose_the_comparison_with_slices() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 1))
    steps = [{n: torch.randn_like(p) for n, p in model.named_parameters()} for _ in range(3)]
    advice = advise(model, steps, budget_bytes=4 * (16 + 8 + 8 + 1))
    assert advice.slices_bytes == 4 * (16 + 8 + 8 + 1)
    assert advice.cost <= advice.slices_cost


def test_moving_averages_are_measured_as_moving_averages() -> None:
    steps = [{"w": torch.ones(4, 4)}, {"w": torch.ones(4, 4) * torch.arange(4)}, {"w": torch.ones(4, 4)}]
    found = [
        advise({"w": torch.nn.Parameter(torch.zeros(4, 4))}, steps, budget_bytes=4, beta2=beta2).choices[0]
        for beta2 in (None, 0.1)
    ]
    assert found[0].expected["level"] != pytest.approx(found[1].expected["level"], abs=1e-3)


def test_gradients_of_another_dtype_are_taken_in_the_parameters_own() -> None:
    params = {"w": torch.nn.Parameter(torch.zeros(4, 4, dtype=torch.bfloat16))}
    assert advise(params, [{"w": torch.ones(4, 4)}], budget_bytes=100).steps == 1


def test_a_thinned_frontier_keeps_its_cheapest_end() -> None:
    tensors = [[Option(k, 19.0 - k) for k in range(20)]]
    assert choose(tensors, 100, frontier=8) == [19]

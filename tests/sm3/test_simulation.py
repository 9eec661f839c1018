"""Simulations against the definition, written out with sets and loops."""

from __future__ import annotations

from math import inf, log2, prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3.covers import from_spec
from sm3.remote.simulation_specs import SimulationSpec
from sm3.simulation import simulate

COVERS: list[dict[str, Any]] = [
    {"kind": "slices"},
    {"kind": "singletons"},
    {"kind": "whole"},
    {"kind": "blocks", "tile": 2},
    {"kind": "union", "members": [{"kind": "slices"}, {"kind": "blocks", "tile": 2}]},
    {"kind": "reshaped", "view": "square", "inner": {"kind": "slices"}},
]


@st.composite
def specs(draw: st.DrawFn, covers: list[dict[str, Any]] = COVERS) -> SimulationSpec:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    number = st.one_of(st.just(0.0), st.floats(-1e3, 1e3))
    gradient = st.lists(number, min_size=prod(shape), max_size=prod(shape))
    return SimulationSpec.model_validate({
        "shape": shape,
        "gradients": draw(st.lists(gradient, min_size=1, max_size=4)),
        "covers": covers,
        "variant": draw(st.sampled_from(["I", "II"])),
    })


def naive(spec: SimulationSpec, sets: list[list[int]]) -> list[tuple[list[float], list[float]]]:
    """Algorithms SM3-I and SM3-II of the paper, a set at a time: nu and the new mu of each step."""
    mu = [0.0] * len(sets)
    found = []
    for g in spec.gradients:
        if spec.variant == "I":
            mu = [m + max((g[i] ** 2 for i in r), default=0.0) for m, r in zip(mu, sets, strict=True)]
        bound = [
            min((m for m, r in zip(mu, sets, strict=True) if i in r), default=inf) for i in range(len(g))
        ]
        nu = bound if spec.variant == "I" else [b + x**2 for b, x in zip(bound, g, strict=True)]
        if spec.variant == "II":
            mu = [max((nu[i] for i in r), default=0.0) for r in sets]
        found.append((nu, mu))
    return found


@settings(max_examples=30, deadline=None)
@given(specs())
def test_every_step_is_that_of_the_paper(spec: SimulationSpec) -> None:
    answer = simulate(spec)
    for asked, found in zip(spec.covers, answer.covers, strict=True):
        sets = from_spec(asked).sets(spec.shape)
        assert [list(members) for members in found.sets] == sets
        for step, (nu, mu) in zip(found.steps, naive(spec, sets), strict=True):
            # x**2 of Python and x·x of torch may differ in the last place.
            assert step.nu == pytest.approx(nu, rel=1e-12)
            assert step.mu_after == pytest.approx(mu, rel=1e-12)
            ruling = step.mu_after if spec.variant == "I" else step.mu_before
            for holding, deciding in zip(found.contributing, step.decides, strict=True):
                least = min(ruling[number] for number in holding)
                assert [number for number in holding if ruling[number] == least] == list(deciding)


@settings(max_examples=30, deadline=None)
@given(specs())
def test_gamma_nu_ii_nu_i_are_in_order_at_every_entry_and_step(spec: SimulationSpec) -> None:
    one = simulate(spec.model_copy(update={"variant": "I"}))
    two = simulate(spec.model_copy(update={"variant": "II"}))
    for loose, tight in zip(one.covers, two.covers, strict=True):
        for gamma, nu_i, nu_ii in zip(two.gamma, loose.steps, tight.steps, strict=True):
            assert all(a <= b <= c for a, b, c in zip(gamma, nu_ii.nu, nu_i.nu, strict=True))


def test_a_spike_in_a_row_and_one_in_a_column_poison_their_crossing() -> None:
    found = simulate(
        SimulationSpec.model_validate({
            "shape": [2, 2],
            "gradients": [[0, 10, 10, 0], [1, 0, 0, 0]],
            "covers": [{"kind": "slices"}, {"kind": "singletons"}],
        })
    )
    slices, singletons = (cover.steps[-1] for cover in found.covers)
    assert (slices.nu[0], singletons.nu[0], found.gamma[-1][0]) == (101.0, 1.0, 1.0)
    assert slices.looseness.bits[0] == slices.looseness.worst == pytest.approx(log2(101))
    assert singletons.looseness.bits == (0.0, 0.0, 0.0, None)
    assert [cover.accumulator_bytes for cover in found.covers] == [16, 16]
    assert slices.rate[0] == pytest.approx(0.1 / 101**0.5)


def test_adafactors_estimate_is_exact_where_the_sums_have_rank_one_and_can_be_too_small() -> None:
    def estimate(gradient: list[float], shape: list[int]) -> Any:
        spec = {"shape": shape, "gradients": [gradient], "covers": [{"kind": "whole"}]}
        return simulate(SimulationSpec.model_validate(spec)).rank_one

    exact = estimate([1, 2, 2, 4], [2, 2]).steps[0]
    assert exact.estimate == pytest.approx((1, 4, 4, 16))
    assert exact.looseness.worst == pytest.approx(0.0)
    diagonal = estimate([1, 0, 0, 1], [2, 2]).steps[0]
    assert diagonal.estimate == (0.5, 0.5, 0.5, 0.5)
    assert diagonal.looseness.bits == (-1.0, None, None, -1.0)
    assert estimate([0] * 4, [2, 2]).steps[0].estimate == (0, 0, 0, 0)
    assert estimate([1] * 8, [2, 2, 2]) is None

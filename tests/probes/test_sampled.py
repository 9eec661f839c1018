"""Which entries are sampled, and which steps are due."""

from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sm3.probes.cadence import Every, Geometric
from sm3.probes.sampled import draw


@given(
    shape=st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple),
    entries=st.integers(1, 200),
    seed=st.integers(0, 99),
)
def test_a_sample_is_distinct_ordered_and_about_as_large_as_asked(
    shape: tuple[int, ...], entries: int, seed: int
) -> None:
    size = prod(shape)
    places = draw(shape, entries, seed=seed)
    assert 0.75 * min(entries, size) <= len(places) <= min(entries, size)
    assert int(places.min()) >= 0
    assert int(places.max()) < size
    assert (places.diff() > 0).all()
    assert torch.equal(places, draw(shape, entries, seed=seed))


def test_a_sample_visits_rows_evenly_and_differs_from_tensor_to_tensor() -> None:
    few = torch.bincount(draw((100, 5000), 1024, seed=0) // 5000, minlength=100)
    assert 9 <= int(few.min()) <= int(few.max()) <= 12
    many = draw((100_000, 8), 1000, seed=0) // 8
    assert torch.bincount(many // 100, minlength=1000).tolist() == [1] * 1000
    assert not torch.equal(draw((64, 64), 100, seed=0, name="a"), draw((64, 64), 100, seed=0, name="b"))


@pytest.mark.parametrize(("shape", "entries"), [((150,), 100), ((10, 7), 30), ((1500, 2), 1024)])
def test_every_entry_is_drawn_with_the_same_probability(shape: tuple[int, ...], entries: int) -> None:
    counts = torch.zeros(prod(shape))
    for seed in range(2000):
        counts[draw(shape, entries, seed=seed)] += 1
    shares = counts / 2000
    expected = entries / prod(shape)
    assert float(shares.mean()) == pytest.approx(expected, rel=0.05)  # two runs may share an entry
    assert float(shares.std()) < 2 * (expected * (1 - expected) / 2000) ** 0.5 + 0.02


@pytest.mark.parametrize("steps", [1, 7])
def test_a_plain_cadence_is_the_first_step_and_every_kth(steps: int) -> None:
    assert [s for s in range(1, 22) if Every(steps).is_due(s)] == sorted({1, *range(steps, 22, steps)})


def test_a_geometric_cadence_reaches_each_power_once() -> None:
    due = [s for s in range(1, 100_001) if Geometric(2.0).is_due(s)]
    assert due == [2**k for k in range(17)]
    assert sum(Geometric().is_due(s) for s in range(1, 100_001)) < 70


def test_cadences_refuse_what_never_comes() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Every(0)
    with pytest.raises(ValueError, match="above 1"):
        Geometric(1.0)

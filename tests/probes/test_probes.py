"""Probes against slow oracles that form the whole matrix."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3 import SM3
from sm3.probes import PROBES, Recorder
from sm3.probes.base import MAX_BINS, max_pool
from sm3.probes.rates import bound_quantiles

SMALL = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0]), min_size=1, max_size=6)


def outer_min(mu: list[torch.Tensor]) -> torch.Tensor:
    """The bound of every entry, formed one by one."""
    return torch.tensor([
        min(float(v[i]) for v, i in zip(mu, index, strict=True))
        for index in product(*(range(len(v)) for v in mu))
    ])


@given(vectors=st.lists(SMALL, min_size=1, max_size=3), q=st.floats(0, 1))
def test_quantiles_of_the_bound_equal_those_of_the_formed_matrix(
    vectors: list[list[float]], q: float
) -> None:
    mu = [torch.tensor(v) for v in vectors]
    nu = outer_min(mu)
    touched = nu[nu > 0].sort().values
    found, count = bound_quantiles(mu, [q])
    assert int(count) == len(touched)
    if len(touched) == 0:
        assert found.isnan().all()
    else:
        rank = max(1, int(np.ceil(np.float64(q) * len(touched))))
        assert float(found[0]) == float(touched[rank - 1])


def test_quantiles_of_nan_accumulators_are_nan() -> None:
    found, _ = bound_quantiles([torch.tensor([1.0, float("nan")]), torch.tensor([2.0])], [0.5])
    assert found.isnan().all()


def test_quantiles_of_a_large_matrix_count_without_overflow() -> None:
    rows, cols = torch.full((50_257,), 4.0), torch.full((60_000,), 9.0)
    found, count = bound_quantiles([rows, cols], [0.5])
    assert int(count) == 50_257 * 60_000
    assert float(found[0]) == 4.0


@given(m=st.integers(1, 40), n=st.integers(1, 40), bins=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_pooling_commutes_with_the_bound(m: int, n: int, bins: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows, cols = torch.rand(m, generator=generator), torch.rand(n, generator=generator)
    pooled = torch.minimum(max_pool(rows, bins=bins)[:, None], max_pool(cols, bins=bins)[None, :])
    formed = torch.minimum(rows[:, None], cols[None, :])
    assert torch.equal(pooled, max_pool(formed, bins=bins))


def test_pooling_keeps_small_tensors_and_bounds_large_ones() -> None:
    assert max_pool(torch.arange(MAX_BINS)).tolist() == list(range(MAX_BINS))
    assert len(max_pool(torch.rand(MAX_BINS + 1))) <= MAX_BINS
    assert max_pool(torch.tensor([1.0, float("nan"), 0.0]), bins=2).isnan().tolist() == [True, False]
    assert max_pool(torch.empty(0, 5)).shape == (0, 5)


@pytest.fixture
def stepped() -> tuple[torch.nn.Module, SM3]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(20, 6), torch.nn.Linear(6, 3))
    optimizer = SM3(model.named_parameters(), lr=0.1)
    for rows in ([1, 2, 3], [2, 5, 5]):
        optimizer.zero_grad()
        model(torch.tensor(rows)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_a_reading_holds_the_optimizers_own_accumulators(stepped: tuple[torch.nn.Module, SM3]) -> None:
    model, optimizer = stepped
    arrays, _ = Recorder(optimizer, [probe() for probe in PROBES.values()]).read([0.1])
    for name, param in model.named_parameters():
        kept = optimizer.accumulators(param)
        found = [a for key, a in arrays.items() if key.endswith(f"/{name}")]
        assert len(found) == len(kept)
        for mu, array in zip(kept, found, strict=True):
            assert np.array_equal(mu.numpy(), array)


def test_rates_equal_those_of_the_formed_bound(stepped: tuple[torch.nn.Module, SM3]) -> None:
    model, optimizer = stepped
    _, scalars = Recorder(optimizer, [PROBES["rates"]()]).read([0.25])
    for name, param in model.named_parameters():
        nu = optimizer.cover(param).bound(optimizer.accumulators(param), tuple(param.shape)).flatten()
        touched = nu[nu > 0].sort().values
        assert scalars[f"untouched/{name}"] == pytest.approx(1 - len(touched) / nu.numel(), abs=1e-6)
        middle = touched[max(1, int(np.ceil(0.5 * len(touched)))) - 1]
        assert scalars[f"rate_p50/{name}"] == pytest.approx(float(0.25 / middle.sqrt()), rel=1e-6)
        assert scalars[f"rate_p05/{name}"] <= scalars[f"rate_p50/{name}"] <= scalars[f"rate_p95/{name}"]


def test_activation_counts_rows_whose_gradient_is_zero(stepped: tuple[torch.nn.Module, SM3]) -> None:
    _, optimizer = stepped
    _, scalars = Recorder(optimizer, [PROBES["activation"]()]).read([0.1])
    assert scalars["zero_rows/0.weight"] == pytest.approx(18 / 20)  # tokens 2 and 5 of 20
    assert scalars["zero_cols/0.weight"] == 0
    assert "zero_rows/1.bias" not in scalars


def test_reading_changes_nothing(stepped: tuple[torch.nn.Module, SM3]) -> None:
    model, optimizer = stepped
    before = [t.clone() for p in model.parameters() for t in (p.detach(), p.grad, *optimizer.accumulators(p))]
    Recorder(optimizer, [probe() for probe in PROBES.values()]).read([0.1])
    after = [t for p in model.parameters() for t in (p.detach(), p.grad, *optimizer.accumulators(p))]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_other_optimizers_report_what_has_a_meaning() -> None:
    model = torch.nn.Linear(4, 3)
    adam = torch.optim.AdamW(model.named_parameters())
    model(torch.ones(2, 4)).sum().backward()
    adam.step()
    arrays, scalars = Recorder(adam, [probe() for probe in PROBES.values()]).read([1e-3])
    assert arrays == {}
    assert scalars["zero_rows/weight"] == 0
    assert scalars["grad_norm"] > 0

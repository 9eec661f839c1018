"""Probes against slow oracles that form the whole matrix."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3 import SM3
from sm3.covers import from_spec
from sm3.probes import PROBES, describe
from sm3.probes.alike import set_moments
from sm3.probes.base import MAX_BINS, max_pool
from sm3.probes.rates import bound_quantiles
from sm3.probes.recorder import Recorder
from sm3.remote.record_specs import ProbeName, RecordSpec

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
    found, count = bound_quantiles([v.numpy() for v in mu], [q])
    assert int(count) == len(touched)
    if len(touched) == 0:
        assert np.isnan(found).all()
    else:
        rank = max(1, int(np.ceil(np.float64(q) * len(touched))))
        assert float(found[0]) == float(touched[rank - 1])


def test_quantiles_of_nan_accumulators_are_nan() -> None:
    found, _ = bound_quantiles([np.float32([1.0, np.nan]), np.float32([2.0])], [0.5])
    assert np.isnan(found).all()


def test_quantiles_of_a_large_matrix_count_without_overflow() -> None:
    rows, cols = np.full(50_257, 4.0, np.float32), np.full(60_000, 9.0, np.float32)
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


def recorder(optimizer: torch.optim.Optimizer, *probes: str, **more: object) -> Recorder:
    return Recorder(optimizer, RecordSpec.model_validate({"probes": probes or list(ProbeName)[:-1], **more}))


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


Stepped = tuple[torch.nn.Module, SM3]


def test_every_probe_says_what_it_means_in_which_unit_and_what_it_costs() -> None:
    assert set(PROBES) == set(ProbeName)
    for name, probe in PROBES.items():
        told = describe(probe)
        assert told.name == name == probe.name
        assert min(map(len, (told.meaning, told.kind, told.unit, told.cost, told.memory))) > 3


def test_a_reading_holds_the_optimizers_own_accumulators(stepped: Stepped) -> None:
    model, optimizer = stepped
    arrays, _ = recorder(optimizer, "accumulators").read(10, [0.1])
    for name, param in model.named_parameters():
        kept = optimizer.accumulators(param)
        found = [a for key, a in arrays.items() if key.endswith(f"/{name}")]
        assert len(found) == len(kept)
        for mu, array in zip(kept, found, strict=True):
            assert np.array_equal(mu.numpy(), array)


def test_rates_equal_those_of_the_formed_bound(stepped: Stepped) -> None:
    model, optimizer = stepped
    _, scalars = recorder(optimizer, "rates").read(10, [0.25])
    for name, param in model.named_parameters():
        nu = optimizer.cover(param).bound(optimizer.accumulators(param), tuple(param.shape)).flatten()
        touched = nu[nu > 0].sort().values
        assert scalars[f"untouched/{name}"] == pytest.approx(1 - len(touched) / nu.numel(), abs=1e-6)
        middle = touched[max(1, int(np.ceil(0.5 * len(touched)))) - 1]
        assert scalars[f"rate_p50/{name}"] == pytest.approx(float(0.25 / middle.sqrt()), rel=1e-6)
        assert scalars[f"rate_p05/{name}"] <= scalars[f"rate_p50/{name}"] <= scalars[f"rate_p95/{name}"]


@pytest.mark.parametrize("cover", ["slices", {"kind": "blocks", "tile": 4}])
def test_rate_profiles_are_the_means_of_the_formed_rates(cover: object) -> None:
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.randn(7, 5))
    optimizer = SM3([("w", p)], lr=0.1, cover=cover)  # type: ignore[arg-type]
    for _ in range(3):
        p.grad = torch.randn(7, 5)
        p.grad[2] = 0
        optimizer.step()
    arrays, _ = recorder(optimizer, "rate_profiles").read(10, [0.5])
    rate = 0.5 / optimizer.cover(p).bound(optimizer.accumulators(p), (7, 5)).sqrt()
    for dim in (0, 1):
        finite = torch.where(rate.isfinite(), rate, torch.nan)
        expected = finite.nanmean(1 - dim).nan_to_num(0.0)
        np.testing.assert_allclose(arrays[f"rate_profiles/dim{dim}/w"], expected.numpy(), rtol=1e-5)


def test_activation_counts_and_maps_rows_whose_gradient_is_zero(stepped: Stepped) -> None:
    _, optimizer = stepped
    arrays, scalars = recorder(optimizer, "activation").read(10, [0.1])
    assert scalars["zero_rows/0.weight"] == pytest.approx(18 / 20)  # tokens 2 and 5 of 20
    assert scalars["zero_cols/0.weight"] == 0
    assert np.flatnonzero(arrays["activation/dim0/0.weight"]).tolist() == [2, 5]
    assert "zero_rows/1.bias" not in scalars


def test_reading_changes_nothing() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(20, 6), torch.nn.Linear(6, 3))
    optimizer = SM3(model.named_parameters(), lr=0.1)
    everything = recorder(optimizer, truth=["*"], shadows=[{"cover": {"kind": "whole"}}])
    model(torch.tensor([1, 2, 3])).square().sum().backward()
    optimizer.step()
    before = [t.clone() for p in model.parameters() for t in (p.detach(), p.grad, *optimizer.accumulators(p))]
    everything.before(3, everything=True)
    everything.observe()
    everything.read(3, [0.1], everything=True)
    after = [t for p in model.parameters() for t in (p.detach(), p.grad, *optimizer.accumulators(p))]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_update_ratio_is_what_the_step_changed() -> None:
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.randn(6, 4))
    optimizer = SM3([("w", p)], lr=0.1, weight_decay=0.3)
    watching = recorder(optimizer, "updates")
    before = p.detach().clone()
    p.grad = torch.randn(6, 4)
    watching.before(1)
    optimizer.step()
    _, scalars = watching.read(1, [0.1])
    moved = (p.detach() - before).norm() / p.detach().norm()
    assert scalars["update_ratio/w"] == pytest.approx(float(moved))
    assert scalars["momentum_norm/w"] == pytest.approx(float(optimizer.state[p]["momentum"].norm()))
    assert "update_ratio/w" not in watching.read(1, [0.1])[1]  # nothing was seen before a second step


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_the_momentum_norm_is_of_the_decoded_momentum(dtype: str) -> None:
    torch.manual_seed(0)
    p, q = (torch.nn.Parameter(torch.ones(6, 300)) for _ in range(2))
    grad = torch.randn(6, 300)
    found = []
    for param, stored in ((p, "fp32"), (q, dtype)):
        optimizer = SM3([("w", param)], lr=0.1, momentum_dtype=stored)
        param.grad = grad
        optimizer.step()
        found.append(recorder(optimizer, "updates").read(1, [0.1])[1]["momentum_norm/w"])
    assert found[1] == pytest.approx(found[0], rel=0.01)


def test_growth_is_one_under_a_steady_gradient_and_old_outliers_are_saturated() -> None:
    p = torch.nn.Parameter(torch.zeros(3, 3))
    optimizer = SM3([("w", p)], lr=0.1, cover={"kind": "slices", "dims": [0]})
    watching = recorder(optimizer, "growth")
    for step in range(1, 11):
        p.grad = torch.ones(3, 3)
        if step == 1:
            p.grad[1] = 1e4
        optimizer.step()
        _, scalars = watching.read(step, [0.1])
    assert scalars["growth/w"] == pytest.approx(1.0, rel=1e-5)
    assert scalars["saturated/w"] == pytest.approx(1 / 3)


def test_nonfinite_entries_are_counted() -> None:
    p = torch.nn.Parameter(torch.zeros(2, 3))
    optimizer = SM3([("w", p)], lr=0.1, nonfinite="propagate")
    p.grad = torch.tensor([[1.0, torch.nan, torch.inf], [1.0, 1.0, 1.0]])
    optimizer.step()
    _, scalars = recorder(optimizer, "nonfinite").read(1, [0.1])
    assert scalars["nonfinite/w"] == 2
    assert scalars["nonfinite_mu/w"] == 3  # one row and two columns


def test_idle_rows_are_counted_from_reading_to_reading() -> None:
    p = torch.nn.Parameter(torch.zeros(3, 2))
    optimizer = SM3([("w", p)], lr=0.1)
    watching = recorder(optimizer, "idle", every=1)
    for step, active in enumerate(([0, 1, 2], [0], [1]), start=1):
        p.grad = torch.zeros(3, 2)
        p.grad[active] = 1
        optimizer.step()
        arrays, scalars = watching.read(step, [0.1])
    assert arrays["idle/dim0/w"].tolist() == [1, 0, 2]
    assert (scalars["idle_p50/w"], scalars["idle_max/w"]) == (1, 2)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    cover=st.sampled_from([
        "slices",
        {"kind": "slices", "dims": [0]},
        {"kind": "slices", "dims": [1]},
        "whole",
    ]),
    k=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_the_largest_bounds_are_those_of_the_formed_matrix(
    shape: tuple[int, int], cover: object, k: int, seed: int
) -> None:
    torch.manual_seed(seed)
    p = torch.nn.Parameter(torch.zeros(shape))
    optimizer = SM3([("w", p)], lr=0.1, cover=cover)  # type: ignore[arg-type]
    p.grad = torch.randn(shape)
    optimizer.step()
    arrays, _ = recorder(optimizer, "topk", probe_settings={"topk": {"k": k}}).read(1, [0.1])
    formed = optimizer.cover(p).bound(optimizer.accumulators(p), shape).flatten()
    assert arrays["topk/bound/w"].tolist() == formed.topk(min(k, len(formed))).values.tolist()


@pytest.mark.parametrize(
    "cover",
    [
        "slices",
        {"kind": "slices", "dims": [1]},
        "whole",
        {"kind": "blocks", "tile": [2, 3]},
        {"kind": "reshaped", "view": [7, 4], "inner": {"kind": "slices"}},
        {
            "kind": "union",
            "members": [{"kind": "slices"}, {"kind": "singletons"}, {"kind": "blocks", "tile": 3}],
        },
        {"kind": "explicit", "shape": [4, 7], "sets": [list(range(20)), list(range(10, 28)), []]},
    ],
    ids=str,
)
def test_set_moments_are_those_of_the_explicit_sets(cover: object) -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 7)
    made = from_spec(cover)  # type: ignore[arg-type]
    found = set_moments(made, x)
    assert found is not None
    sets = [x.flatten()[s] for s in made.sets((4, 7)) if s]
    if made.kind == "union":  # singletons share nothing and are left out
        sets = [s for s in sets if len(s) > 1]
        sets += [x.flatten()[s] for s in made.members[2].sets((4, 7)) if len(s) == 1]  # type: ignore[attr-defined]
    expected = [[float(f(s)) for s in sets] for f in (torch.mean, lambda s: s.square().mean(), torch.amax)]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(sorted(ours.tolist()), sorted(theirs), rtol=1e-5)


def test_equal_gradients_peak_at_one_and_a_lone_entry_at_the_sets_size() -> None:
    p = torch.nn.Parameter(torch.zeros(8, 8))
    optimizer = SM3([("w", p)], lr=0.1)
    found = {}
    for kind, grad in (("equal", torch.ones(8, 8)), ("lone", torch.eye(8))):
        p.grad = grad
        optimizer.step()
        found[kind] = recorder(optimizer, "alike").read(1, [0.1])[1]
    assert found["equal"]["peak_p95/w"] == 1
    assert found["equal"]["snr_p05/w"] > 1e30
    assert found["lone"]["peak_p50/w"] == 8
    assert found["lone"]["snr_p50/w"] == pytest.approx(1 / 7)


def test_a_probe_is_read_at_its_own_cadence_and_of_its_own_tensors(stepped: Stepped) -> None:
    _, optimizer = stepped
    asked = {"activation": {"every": 3, "tensors": ["0.*"]}, "nonfinite": {"every": "geometric"}}
    watching = recorder(optimizer, "activation", "nonfinite", every=10, probe_settings=asked)
    read = {step: watching.read(step, [0.1])[1] for step in range(1, 13) if watching.is_due(step)}
    with_activation = [step for step, scalars in read.items() if "zero_rows/0.weight" in scalars]
    assert with_activation == [1, 3, 6, 9, 12]
    with_counts = [step for step, scalars in read.items() if "nonfinite/0.weight" in scalars]
    assert with_counts == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    assert not any("zero_rows/1.weight" in scalars for scalars in read.values())
    assert 10 in read


def test_everything_reaches_the_host_in_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch.nn.Linear(6, 3)
    optimizer = SM3(model.named_parameters(), lr=0.1)
    watching = recorder(optimizer, truth=["*"], shadows=[{"cover": {"kind": "whole"}}])
    model(torch.ones(2, 6)).square().sum().backward()
    watching.before(10)
    optimizer.step()
    watching.observe()
    copies = []
    original = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: copies.append(1) or original(self))
    for name in ("item", "tolist", "__float__", "__bool__", "__int__"):
        monkeypatch.setattr(
            torch.Tensor, name, lambda self, *_, n=name: pytest.fail(f"{n} waits for the device")
        )
    _, scalars = watching.read(10, [0.1])
    assert scalars["truth_level@whole/weight"] >= 0
    assert len(copies) == 1


def test_squares_are_the_gradients_and_their_profiles_bound_every_entry() -> None:
    torch.manual_seed(0)
    small, large, vector = (torch.nn.Parameter(torch.zeros(*shape)) for shape in ((5, 3), (700, 100), (4,)))
    optimizer = SM3([("small", small), ("large", large), ("vector", vector)], lr=0.1)
    for param in (small, large, vector):
        param.grad = torch.randn(param.shape)
    watching = recorder(optimizer, "squares")
    optimizer.step()
    arrays, _ = watching.read(1, [0.1])
    square = small.grad.square()
    assert np.array_equal(arrays["squares/grid/small"], square.numpy())
    assert np.array_equal(arrays["squares/dim1/small"], square.amax(0).numpy())
    np.testing.assert_allclose(arrays["squares/mean0/small"], square.mean(1).numpy(), rtol=1e-6)
    bound = np.minimum.outer(arrays["squares/dim0/small"], arrays["squares/dim1/small"])
    assert (square.numpy() <= bound).all()
    assert np.array_equal(arrays["squares/grid/vector"], vector.grad.square().numpy())
    assert "squares/grid/large" not in arrays  # more than 4,096 entries, and not in truth
    assert arrays["squares/dim0/large"].shape == (234,)


def test_other_optimizers_report_what_has_a_meaning() -> None:
    model = torch.nn.Linear(4, 3)
    sgd = torch.optim.SGD(model.named_parameters(), lr=0.1)
    model(torch.ones(2, 4)).sum().backward()
    sgd.step()
    arrays, scalars = recorder(sgd).read(1, [1e-3])
    assert not any(key.startswith(("accumulators/", "tightness")) for key in arrays)
    assert scalars["zero_rows/weight"] == 0
    assert scalars["grad_norm"] > 0

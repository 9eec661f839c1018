"""Tightness, its sample and its shadows against formed matrices and the paper's laws."""

from __future__ import annotations

import copy
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3 import SM3
from sm3.covers import from_spec
from sm3.probes.cadence import Every, Geometric
from sm3.probes.poison import detect
from sm3.probes.recorder import Recorder
from sm3.probes.sampled import SampledTruth, draw
from sm3.probes.tightness import summary, tightness, whole_summary, worst
from sm3.remote.record_specs import ProbeName, RecordSpec
from sm3.shadow import Shadow, WholeTruth

COVERS = [
    "slices",
    {"kind": "slices", "dims": [0]},
    "whole",
    {"kind": "blocks", "tile": 4},
    {"kind": "union", "members": [{"kind": "slices"}, {"kind": "blocks", "tile": 4}]},
    "singletons",
]


def small_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Embedding(30, 8), torch.nn.Linear(8, 12), torch.nn.Linear(12, 3))


def train(
    model: torch.nn.Module, optimizer: SM3, recorder: Recorder | None, steps: int = 12
) -> list[torch.Tensor]:
    """Steps with seeded batches; returns all parameters and state afterwards."""
    generator = torch.Generator().manual_seed(1)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        tokens = torch.randint(30, (5,), generator=generator)
        (model(tokens).square().sum() * step).backward()
        if recorder is not None:
            recorder.before(step)
        optimizer.step()
        if recorder is not None:
            recorder.observe()
            if recorder.is_due(step):
                recorder.read(step, [0.1])
    return [t for p in model.parameters() for t in (p.detach(), *optimizer.state[p].values())]


def test_training_with_every_statistic_and_shadow_is_bit_for_bit_training_without() -> None:
    asked = {
        "every": 2,
        "probes": ["accumulators", "rates", "activation", "tightness", "updates", "growth", "alike", "topk", "poison"],
        "truth": ["*"],
        "shadows": [{"cover": from_spec(c).spec(), "variant": v, "label": f"{k}-{v.lower()}"}
                    for k, c in enumerate(COVERS) for v in ("I", "II")],
    }  # fmt: skip
    model = small_model()
    twin = copy.deepcopy(model)
    optimizer, alone = (SM3(m.named_parameters(), lr=0.1) for m in (model, twin))
    watched = train(model, optimizer, Recorder(optimizer, RecordSpec.model_validate(asked)))
    assert all(torch.equal(a, b) for a, b in zip(watched, train(twin, alone, None), strict=True))


@pytest.mark.parametrize("variant", ["I", "II"])
@pytest.mark.parametrize("cover", COVERS, ids=str)
def test_a_shadow_holds_what_an_optimizer_under_its_cover_would(cover: object, variant: str) -> None:
    grads = [torch.randn(9, 7) * (torch.rand(9, 7) > 0.3) for _ in range(5)]
    p, q = (torch.nn.Parameter(torch.zeros(9, 7)) for _ in range(2))
    shadow = Shadow({"p": p}, cover, variant=variant)  # type: ignore[arg-type]
    optimizer = SM3([{"params": [q], "cover": cover}], lr=0.0, variant=variant)
    for grad in grads:
        p.grad, q.grad = grad, grad.clone()
        shadow.observe()
        optimizer.step()
    assert all(map(torch.equal, shadow.accumulators("p"), optimizer.accumulators(q)))
    assert shadow.accumulator_bytes == 4 * from_spec(cover).num_accumulators((9, 7))  # type: ignore[arg-type]
    assert torch.equal(p, torch.zeros(9, 7))


def test_a_shadow_follows_sparse_gradients_and_sits_out_steps_without_one() -> None:
    p = torch.nn.Parameter(torch.zeros(4, 2))
    truth = WholeTruth({"p": p}, ["*"])
    sample = SampledTruth({"p": p})
    for grad in (torch.eye(4)[:, :2].to_sparse(1), None, torch.full((4, 2), 2.0)):
        p.grad = grad
        truth.observe()
        sample.observe()
    expected = torch.eye(4)[:, :2] + 4
    assert torch.equal(truth.gamma("p"), expected)
    assert torch.equal(sample.gamma("p"), expected.flatten())


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    cover=st.sampled_from(COVERS),
    beta2=st.sampled_from([None, 0.9]),
    seed=st.integers(0, 999),
)
def test_gamma_is_never_above_nu_ii_nor_that_above_nu_i(
    shape: tuple[int, ...], cover: object, beta2: float | None, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.nn.Parameter(torch.zeros(shape))
    decay = {"p": beta2}
    truth = WholeTruth({"p": p}, ["*"], beta2=decay)
    one, two = (Shadow({"p": p}, cover, variant=v, beta2=decay) for v in ("I", "II"))  # type: ignore[arg-type]
    for _ in range(4):
        p.grad = torch.randn(shape, generator=generator) ** 3
        for follower in (truth, one, two):
            follower.observe()
    slack = 1 + 1e-5  # float32 sums in different orders
    assert (truth.gamma("p") <= two.bound("p") * slack).all()
    assert (two.bound("p") <= one.bound("p") * slack).all()


def test_singletons_are_as_tight_as_adagrad() -> None:
    p = torch.nn.Parameter(torch.zeros(5, 5))
    optimizer = SM3([("w", p)], lr=0.1)
    asked = {"probes": ["tightness"], "truth": ["*"], "shadows": [{"cover": {"kind": "singletons"}}]}
    recorder = Recorder(optimizer, RecordSpec.model_validate(asked))
    for _ in range(7):
        p.grad = torch.randn(5, 5)
        optimizer.step()
        recorder.observe()
    _, scalars = recorder.read(10, [0.1])
    for series in ("truth_level", "truth_spread", "truth_worst"):
        assert scalars[f"{series}@singletons/w"] == 0
    assert scalars["tightness_level@singletons/w"] == pytest.approx(0, abs=1e-6)
    assert scalars["truth_level/w"] > 0
    assert scalars["accumulator_bytes@singletons"] == 100


def test_the_sampled_estimate_agrees_with_the_whole_truth_within_its_interval() -> None:
    torch.manual_seed(3)
    p = torch.nn.Parameter(torch.zeros(300, 200))
    optimizer = SM3([("w", p)], lr=0.1)
    recorder = Recorder(optimizer, RecordSpec(probes=("tightness",), truth=("w",)))
    scale = torch.randn(300, 200).exp()
    for _ in range(20):
        p.grad = torch.randn(300, 200) * scale
        optimizer.step()
        recorder.observe()
    arrays, scalars = recorder.read(20, [0.1])
    for part in ("level", "spread"):
        whole = scalars[f"truth_{part}/w"]
        assert scalars[f"tightness_{part}_lo/w"] <= whole <= scalars[f"tightness_{part}_hi/w"]
    assert scalars["tightness_p99/w"] == pytest.approx(scalars["truth_p99/w"], rel=0.1)
    bits, row, col = arrays["tightness/worst/w"][0]
    nu = optimizer.cover(p).bound(optimizer.accumulators(p), (300, 200))
    assert bits == pytest.approx(scalars["truth_worst/w"])
    assert int(row) * 200 + int(col) == int(tightness(nu, recorder._watched.truth.gamma("w")).argmax())  # type: ignore[union-attr]
    assert arrays["tightness/grid/w"].max() == pytest.approx(bits)


def test_confidence_intervals_hold_the_truth_in_about_nineteen_of_twenty_samples() -> None:
    torch.manual_seed(0)
    bits = torch.randn(50_000).square() * 3
    gamma = torch.rand(50_000)
    nu = gamma * 2**bits
    level, spread = float(bits.median()), float(bits.std())
    held = {"level": 0, "spread": 0}
    for seed in range(300):
        chosen = torch.randint(50_000, (1024,), generator=torch.Generator().manual_seed(seed))
        found = summary(nu[chosen].numpy(), gamma[chosen].numpy())
        held["level"] += bool(found["level_lo"] <= level <= found["level_hi"])
        held["spread"] += bool(found["spread_lo"] <= spread <= found["spread_hi"])
    assert held["level"] >= 0.9 * 300
    assert held["spread"] >= 0.85 * 300  # the delta method undercovers heavy tails a little


def test_entries_that_no_gradient_touched_are_counted_apart() -> None:
    nu, gamma = torch.tensor([4.0, 4.0, 4.0, 0.0]), torch.tensor([1.0, 2.0, 0.0, 0.0])
    found = summary(nu.numpy(), gamma.numpy())
    assert found["level"] == 1.5
    assert found["zero"] == 0.5
    assert whole_summary(tightness(nu, gamma))["zero"] == 0.5
    none = torch.zeros(4)
    assert np.isnan(summary(none.numpy(), none.numpy())["spread"])
    assert whole_summary(tightness(none, none))["spread"].isnan()


@pytest.mark.parametrize("size", [5, 16_384, 16_385, 100_000])
def test_the_whole_summary_equals_numpys(size: int) -> None:
    torch.manual_seed(0)
    bits = torch.rand(size).square() * 9
    found = whole_summary(bits)
    slack = 9 / 16_000 if size > 16_384 else 1e-6
    level, p99 = np.median(bits.numpy()), np.quantile(bits.numpy(), 0.99, method="higher")
    assert float(found["level"]) == pytest.approx(level, abs=slack + 5 / size)
    assert float(found["p99"]) == pytest.approx(p99, abs=slack + 50 / size)
    assert float(found["spread"]) == pytest.approx(float(bits.std(unbiased=False)), rel=1e-4)


def test_the_worst_entries_come_first_with_their_places() -> None:
    bits = torch.zeros(2, 3, 4)
    bits[1, 2, 3], bits[0, 1, 2] = 5.0, 3.0
    assert worst(bits, k=2).tolist() == [[5, 1, 2, 3], [3, 0, 1, 2]]


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


def test_the_crossing_of_two_outliers_is_found_with_the_set_that_frees_it() -> None:
    p = torch.nn.Parameter(torch.zeros(64, 48))
    optimizer = SM3([("w", p)], lr=0.1)
    recorder = Recorder(optimizer, RecordSpec(probes=("poison",), truth=("w",)))
    for step in range(2):
        p.grad = torch.ones(64, 48)
        if step == 0:
            p.grad[5, 40], p.grad[50, 3] = 100.0, 100.0
        optimizer.step()
        recorder.observe()
    arrays, scalars = recorder.read(10, [0.1])
    assert scalars["poisoned/w"] == 2  # (5, 3) and (50, 40)
    assert scalars["poison_freed_blocks-8/w"] == 2
    assert scalars["poison_freed_slices-0/w"] == scalars["poison_freed_slices-1/w"] == 0
    remedy, freed, *places = arrays["poison/set/w"]
    assert (int(remedy), int(freed)) == (0, 1)
    assert [int(x) for x in places] in ([0, 8, 0, 8], [48, 56, 40, 48])


def test_a_uniform_overestimate_poisons_nothing() -> None:
    gamma = torch.rand(20, 20) + 0.5
    assert int(detect(gamma * 1e6, gamma).entries.sum()) == 0


def test_memory_and_frames_stay_the_same_from_the_tenth_step_to_the_thousandth() -> None:
    model = small_model()
    optimizer = SM3(model.named_parameters(), lr=0.1)
    shadows = [{"cover": {"kind": "blocks", "tile": 4}}]
    asked = {"every": 5, "truth": ["*"], "shadows": shadows}
    recorder = Recorder(optimizer, RecordSpec.model_validate(asked))
    train(model, optimizer, recorder, steps=10)
    first = (recorder.probe_bytes, {k: v.shape for k, v in recorder.read(10, [0.1])[0].items()})
    train(model, optimizer, recorder, steps=990)
    last = (recorder.probe_bytes, {k: v.shape for k, v in recorder.read(1000, [0.1])[0].items()})
    assert first == last


def test_every_fault_of_a_record_spec_is_named_at_once() -> None:
    model = small_model()
    optimizer = SM3(model.named_parameters(), lr=0.1)
    asked = {
        "truth": ["*", "nothing.*"],
        "truth_limit_bytes": 100,
        "probe_settings": {"growth": {"tensors": ["absent"]}},
        "shadows": [
            {"cover": {"kind": "blocks", "tile": [2, 2, 2]}},
            {"cover": {"kind": "slices", "dims": [3]}, "tensors": ["0.weight"]},
            {"cover": {"kind": "whole"}, "tensors": ["*.bias"]},
        ],
    }
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at below
        Recorder(optimizer, RecordSpec.model_validate(asked))
    for told in (
        "truth.1: given 'nothing.*'",
        "at most truth_limit_bytes = 100 bytes; these tensors take",
        "probe_settings.growth.tensors.0: given 'absent'",
        "shadows.0.cover",
        "shadows.1.cover",
        "shadows.2.tensors",
    ):
        assert told in str(caught.value)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"probes": ["rates"], "probe_settings": {"topk": {}}}, "names 'topk', which is not among probes"),
        ({"probes": ["poison"]}, "'poison' compares with whole truth"),
        ({"probes": ["tightness"], "sample_entries": 0}, "'tightness' needs sample_entries"),
        ({"shadows": [{"cover": {"kind": "whole"}}] * 2}, "two shadows are called 'whole'"),
        ({"probes": ["nonsense"]}, "accumulators"),
    ],
)
def test_a_record_spec_that_contradicts_itself_says_how(record: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        RecordSpec.model_validate(record)


def sparse_steps(p: torch.nn.Parameter, steps: int = 6):
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randperm(p.shape[0], generator=generator)[:3]
        values = torch.randn(3, p.shape[1], generator=generator)
        p.grad = torch.sparse_coo_tensor(rows[None], values, p.shape, check_invariants=True)
        yield


@pytest.mark.parametrize("beta2", [None, 0.9])
def test_sparse_gradients_have_a_true_tightness_too(beta2: float | None) -> None:
    p = torch.nn.Parameter(torch.zeros(8, 5))
    optimizer = SM3([("w", p)], lr=0.1, momentum=0.0, beta2=beta2)
    asked = {"probes": ["tightness", "rates"], "truth": ["*"], "shadows": [{"cover": {"kind": "slices"}}]}
    recorder = Recorder(optimizer, RecordSpec.model_validate(asked))
    for _ in sparse_steps(p):
        optimizer.step()
        recorder.observe()
    _, scalars = recorder.read(10, [0.1])
    gamma = recorder._watched.truth.gamma("w")  # type: ignore[union-attr]
    rows = optimizer.accumulators(p)[0]
    expected = tightness(rows[:, None].expand(8, 5), gamma)
    assert scalars["truth_level/w"] == pytest.approx(float(expected.nanquantile(0.5)), rel=1e-5)
    assert scalars["truth_level@slices/w"] == scalars["truth_level/w"] > 0
    assert scalars["tightness_level/w"] == pytest.approx(scalars["truth_level/w"], rel=1e-5)
    assert scalars["tightness_level_lo/w"] == scalars["tightness_level_hi/w"]  # the sample is all of it
    assert 0 < scalars["rate_p50/w"] < float("inf")


def test_adam_is_not_held_against_sums_but_its_shadows_are() -> None:
    p = torch.nn.Parameter(torch.zeros(6, 6))
    optimizer = torch.optim.AdamW([("w", p)])
    asked = {"probes": ["tightness"], "truth": ["*"], "shadows": [{"cover": {"kind": "whole"}}]}
    recorder = Recorder(optimizer, RecordSpec.model_validate(asked))
    for _ in range(3):
        p.grad = torch.randn(6, 6)
        optimizer.step()
        recorder.observe()
    _, scalars = recorder.read(10, [0.1])
    assert "truth_level/w" not in scalars
    assert scalars["truth_level@whole/w"] > 0
    assert scalars["tightness_level@whole/w"] > 0


def test_a_recorder_of_an_optimizer_that_skipped_a_step_before_misses_none() -> None:
    p = torch.nn.Parameter(torch.zeros(3, 3))
    optimizer = SM3([("w", p)], lr=0.1, nonfinite="skip")
    p.grad = torch.full((3, 3), torch.nan)
    optimizer.step()
    recorder = Recorder(optimizer, RecordSpec(probes=("tightness",)))
    for grad in (torch.ones(3, 3), torch.full((3, 3), torch.nan)):
        p.grad = grad
        optimizer.step()
        recorder.observe()
    _, scalars = recorder.read(10, [0.1])
    assert scalars["tightness_level/w"] == 0
    assert scalars["tightness_zero/w"] == 0


def test_exact_sums_are_refused_of_an_optimizer_that_has_begun() -> None:
    p = torch.nn.Parameter(torch.zeros(3, 3))
    optimizer = SM3([("w", p)], lr=0.1)
    p.grad = torch.ones(3, 3)
    optimizer.step()
    with pytest.raises(ValueError, match=r"'w' holds accumulators.*attach before the first step"):
        Recorder(optimizer)
    Recorder(optimizer, RecordSpec(probes=("rates",)))


def test_two_parameters_of_one_name_are_refused() -> None:
    groups = [{"params": [("w", torch.nn.Parameter(torch.zeros(2)))]} for _ in range(2)]
    with pytest.raises(ValueError, match="'w' name more than one parameter"):
        Recorder(SM3(groups, lr=0.1))


def test_empty_tensors_and_shadows_of_huge_tiles_are_no_trouble() -> None:
    p, q = torch.nn.Parameter(torch.zeros(0, 5)), torch.nn.Parameter(torch.zeros(4, 5))
    optimizer = SM3([("empty", p), ("w", q)], lr=0.1)
    asked = {
        "probes": list(ProbeName),
        "truth": ["*"],
        "shadows": [{"cover": {"kind": "blocks", "tile": 2**40}}],
    }
    recorder = Recorder(optimizer, RecordSpec.model_validate(asked))
    p.grad, q.grad = torch.zeros(0, 5), torch.ones(4, 5)
    recorder.before(1)
    optimizer.step()
    recorder.observe()
    _, scalars = recorder.read(1, [0.1])
    assert scalars["truth_level/w"] == scalars[f"truth_level@blocks-{2**40}/w"] == 0


def test_shadows_beyond_their_limit_are_refused_with_what_they_would_take() -> None:
    p = torch.nn.Parameter(torch.zeros(64, 64))
    asked = {"shadows": [{"cover": {"kind": "singletons"}}], "shadow_limit_bytes": 1000}
    with pytest.raises(ValueError, match=r"16,384 bytes.*shadow_limit_bytes = 1,000"):
        Recorder(SM3([("w", p)], lr=0.1), RecordSpec.model_validate(asked))


def test_shadows_share_one_room() -> None:
    p = torch.nn.Parameter(torch.zeros(64, 64))
    kinds = [
        {"cover": {"kind": "whole"}},
        {"cover": {"kind": "slices"}},
        {"cover": {"kind": "blocks", "tile": 32}},
    ]
    asked = {"probes": ["rates"], "shadows": kinds}
    recorder = Recorder(SM3([("w", p)], lr=0.1), RecordSpec.model_validate(asked))
    assert recorder.probe_bytes == 4 * 64 * 64 + 4 * (1 + 128 + 4)


@pytest.mark.parametrize("depth", [5, 150])
def test_shadows_nested_too_deep_are_refused(depth: int) -> None:
    cover: dict[str, object] = {"kind": "slices"}
    for _ in range(depth):
        cover = {"kind": "reshaped", "view": "square", "inner": cover}
    with pytest.raises(ValueError, match="nested more than 4 deep"):
        RecordSpec.model_validate({"shadows": [{"cover": cover}]})


def test_covers_made_of_too_many_are_refused() -> None:
    cover: dict[str, object] = {"kind": "slices"}
    for _ in range(3):
        cover = {"kind": "union", "members": [cover] * 8}
    with pytest.raises(ValueError, match="more than 64 covers"):
        RecordSpec.model_validate({"shadows": [{"cover": cover}]})

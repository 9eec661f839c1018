"""Tightness and poison against formed matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sm3 import SM3
from sm3.probes.poison import detect
from sm3.probes.recorder import Recorder
from sm3.probes.tightness import summary, tightness, whole_summary, worst
from sm3.remote.record_specs import ProbeName, RecordSpec


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


def test_a_map_tells_what_was_never_touched_from_what_is_tight() -> None:
    p = torch.nn.Parameter(torch.zeros(130, 4))  # three rows a bin, in the last one row
    optimizer = SM3([("w", p)], lr=0.1)
    recorder = Recorder(optimizer, RecordSpec(probes=("tightness",), truth=("w",)))
    p.grad = torch.zeros(130, 4)
    p.grad[:9] = 1.0
    p.grad[11, 2] = 1.0
    optimizer.step()
    recorder.observe()
    arrays, _ = recorder.read(1, [0.1])
    grid = arrays["tightness/grid/w"]
    assert grid.shape == (44, 4)
    assert (grid[:3] == 0).all()
    assert grid[3, 2] == 0  # one of the three rows
    assert np.isnan(grid[3, [0, 1, 3]]).all()
    assert np.isnan(grid[4:]).all()
    assert (arrays["tightness/worst/w"][:, 0] == 0).all()


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

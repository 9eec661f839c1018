"""Statistics of comparisons against published tables, slow oracles and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.bands import block_bootstrap
from server.statistics import (
    MAX_POINTS,
    Question,
    Run,
    compare,
    difference_curve,
    final_difference,
    final_loss,
    ordered,
    paired,
    seconds_to,
    steps_to,
    windowed,
)
from server.student_t import cdf, incomplete_beta, quantile
from sm3.remote.comparison_views import BandMethod, LossSeries
from sm3.remote.wire import JobState

# Quantiles of Student's t, NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2.
TABLE = {
    1: (3.078, 6.314, 12.706, 31.821, 63.657, 318.309),
    2: (1.886, 2.920, 4.303, 6.965, 9.925, 22.327),
    3: (1.638, 2.353, 3.182, 4.541, 5.841, 10.215),
    4: (1.533, 2.132, 2.776, 3.747, 4.604, 7.173),
    5: (1.476, 2.015, 2.571, 3.365, 4.032, 5.893),
    9: (1.383, 1.833, 2.262, 2.821, 3.250, 4.297),
    15: (1.341, 1.753, 2.131, 2.602, 2.947, 3.733),
    30: (1.310, 1.697, 2.042, 2.457, 2.750, 3.385),
    100: (1.290, 1.660, 1.984, 2.364, 2.626, 3.174),
}
LEVELS = (0.90, 0.95, 0.975, 0.99, 0.995, 0.999)
VAL, LOSS = LossSeries.VAL_LOSS, LossSeries.LOSS


@pytest.mark.parametrize("degrees", TABLE)
def test_quantiles_are_those_of_the_published_table(degrees: int) -> None:
    found = [quantile(p, degrees) for p in LEVELS]
    assert found == pytest.approx(TABLE[degrees], abs=6e-4)  # the table is rounded to 3 places


@given(p=st.floats(1e-6, 1 - 1e-6), degrees=st.integers(1, 200))
def test_the_quantile_is_where_the_distribution_reaches_p(p: float, degrees: int) -> None:
    assert cdf(quantile(p, degrees), degrees) == pytest.approx(p, rel=1e-9, abs=1e-12)


@given(p=st.floats(0.001, 0.999))
def test_one_and_two_degrees_have_closed_forms(p: float) -> None:
    assert quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-9, abs=1e-9)
    two = (2 * p - 1) / math.sqrt(2 * p * (1 - p))
    assert quantile(p, 2) == pytest.approx(two, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("p", "degrees"), [(0, 1), (1, 1), (0.5, 0), (math.nan, 3)])
def test_what_has_no_quantile_is_refused(p: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        quantile(p, degrees)


def test_the_incomplete_beta_has_its_ends_and_its_symmetry() -> None:
    assert (incomplete_beta(2, 3, 0.0), incomplete_beta(2, 3, 1.0)) == (0, 1)
    for x in (0.01, 0.3, 0.5, 0.9):
        assert incomplete_beta(1, 1, x) == pytest.approx(x)
        assert incomplete_beta(2, 3, x) == pytest.approx(1 - incomplete_beta(3, 2, 1 - x))
        assert incomplete_beta(2, 3, x) == pytest.approx(6 * x**2 - 8 * x**3 + 3 * x**4)


def points(values: list[float], steps: list[int] | None = None):
    at = np.array(steps if steps is not None else range(1, len(values) + 1), np.int64)
    return at, np.array(values, np.float64)


def run(seed: int, loss: list[float], *, steps: int | None = None, **given: object) -> Run:
    return Run(seed, f"job{seed}", JobState.SUCCEEDED, steps or len(loss), loss=points(loss), **given)  # type: ignore[arg-type]


def question(steps: int, series: LossSeries = LOSS, *, confidence: float = 0.9, **given: object) -> Question:
    return Question("a", series, confidence, steps, **given)  # type: ignore[arg-type]


def test_of_a_step_given_twice_the_last_word_counts() -> None:
    steps, values = ordered(points([5.0, 1.0, 2.0, 3.0], [2, 1, 2, 3]))
    assert (steps.tolist(), values.tolist()) == ([1, 2, 3], [1.0, 2.0, 3.0])


@given(
    present=st.sets(st.integers(1, 30), min_size=1),
    window=st.integers(1, 12),
    beyond=st.integers(0, 5),
)
def test_windows_equal_those_formed_one_by_one(present: set[int], window: int, beyond: int) -> None:
    at = sorted(present)
    steps = at[-1] + beyond
    found = windowed(points([float(step**2) for step in at], at), window, steps)
    wanted = {}
    for first in range(1, steps + 1, window):
        last = min(first + window - 1, steps)
        inside = [step**2 for step in at if first <= step <= last]
        if inside and last <= at[-1]:
            wanted[last] = sum(inside) / len(inside)
    if window == 1:
        wanted = {step: step**2 for step in at}
    assert dict(zip(found[0].tolist(), found[1].tolist(), strict=True)) == pytest.approx(wanted)


def test_only_steps_that_both_have_are_paired() -> None:
    steps, values = paired(points([1.0, 2.0, 4.0], [1, 2, 4]), points([1.0, 1.0, 1.0], [2, 3, 4]))
    assert (steps.tolist(), values.tolist()) == ([2, 4], [1.0, 3.0])


def test_the_difference_is_the_seeds_mean_with_students_band() -> None:
    reference = [run(k, [3.0, 2.0]) for k in range(3)]
    ours = [run(k, [3.0 + d, 2.0 + 2 * d]) for k, d in enumerate((0.1, 0.2, 0.6))]
    curve = difference_curve(ours, reference, question(2))
    assert curve.steps == (1, 2)
    assert curve.num_seeds == (3, 3)
    assert curve.mean == pytest.approx((0.3, 0.6))
    half = 2.920 * np.std([0.1, 0.2, 0.6], ddof=1) / math.sqrt(3)  # t of 2 degrees at 95 %, from the table
    assert curve.low == pytest.approx((0.3 - half, 0.6 - 2 * half), abs=1e-3)
    assert curve.high == pytest.approx((0.3 + half, 0.6 + 2 * half), abs=1e-3)


def test_what_all_runs_of_a_seed_have_in_common_cancels() -> None:
    generator = np.random.default_rng(0)
    batches = [generator.normal(size=50) * 10 for _ in range(4)]
    reference = [run(k, (b + 3).tolist()) for k, b in enumerate(batches)]
    ours = [run(k, (b + 2).tolist()) for k, b in enumerate(batches)]
    curve = difference_curve(ours, reference, question(50))
    assert curve.steps == (10, 20, 30, 40, 50)
    assert curve.mean == pytest.approx([-1.0] * 5)
    assert curve.low == pytest.approx([-1.0] * 5)


def test_bands_need_two_seeds_and_the_curve_says_how_many_there_are() -> None:
    reference = [run(0, [3.0, 2.0, 1.0]), run(1, [3.0], steps=3)]
    ours = [run(0, [3.5, 2.5, 1.5]), run(1, [3.7, 2.0], steps=3)]
    curve = difference_curve(ours, reference, question(3))
    assert curve.num_seeds == (2, 1, 1)
    assert curve.mean == pytest.approx((0.6, 0.5, 0.5))
    assert curve.low[0] is not None
    assert (curve.low[1:], curve.high[1:]) == ((None, None), (None, None))


def test_the_band_over_seeds_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        ours = [run(k, [float(generator.normal(0.5, 1))]) for k in range(4)]
        found = final_difference(ours, [run(k, [0.0]) for k in range(4)], question(1, confidence=0.8))
        assert found.method is BandMethod.STUDENT_T
        held += found.low <= 0.5 <= found.high
    assert 0.74 < held / 400 < 0.86  # 3 standard errors of 0.02


def test_one_seed_has_a_band_of_batch_noise_for_the_loss_and_none_at_single_steps() -> None:
    generator = np.random.default_rng(2)
    noise = generator.normal(0, 1, 1000)
    ours, reference = [run(0, (2 + noise).tolist())], [run(0, [0.0] * 1000)]
    found = final_difference(ours, reference, question(1000))
    assert found.method is BandMethod.BOOTSTRAP
    last = 2 + noise[900:]
    assert found.mean == pytest.approx(last.mean())
    half = 1.645 * last.std(ddof=1) / 10
    assert found.high - found.low == pytest.approx(2 * half, rel=0.25)
    assert found == final_difference(ours, reference, question(1000))
    assert set(difference_curve(ours, reference, question(1000)).low) == {None}


def test_the_bootstrap_is_wider_where_neighbours_are_alike() -> None:
    generator = np.random.default_rng(3)
    white = generator.normal(size=1000)
    alike = np.repeat(generator.normal(size=200), 5)
    (low, high), (low_alike, high_alike) = block_bootstrap(white, 0.9), block_bootstrap(alike, 0.9)
    assert low < 0 < high
    assert high_alike - low_alike > 1.5 * (high - low)
    assert block_bootstrap(np.ones(8), 0.9) == (0, 0)


def test_one_seed_has_no_band_for_what_is_measured_once() -> None:
    ours, reference = ([Run(0, "j", JobState.SUCCEEDED, 10, val_loss=points([v], [10]))] for v in (3.0, 2.0))
    found = final_difference(ours, reference, question(10, VAL))
    assert (found.mean, found.low, found.high) == (1.0, None, None)
    assert (found.method, found.num_seeds) == (BandMethod.NONE, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["variant", "reference"])
def test_a_run_that_diverged_is_told_and_never_averaged_away(bad: float, where: str) -> None:
    good = [run(k, [3.0, 2.0, 1.0, 1.0]) for k in range(3)]
    torn = [*good[:2], run(2, [3.0, 2.0, bad], steps=4)]
    runs = {"a": good, "b": torn} if where == "variant" else {"a": torn, "b": good}
    a, b = compare("c", runs, question(4)).variants
    told = b if where == "variant" else a
    assert told.diverged
    assert [r.diverged for r in told.runs] == [False, False, True]
    assert (told.runs[2].diverged_at_step, told.runs[2].final_loss, told.runs[2].last_step) == (3, None, 3)
    assert b.difference.mean == (0, 0, None, None)
    assert b.difference.low[2:] == (None, None)
    assert (b.final_difference.mean, b.final_difference.num_seeds) == (None, 2)


def test_a_loss_that_diverged_tells_of_the_validation_too() -> None:
    good = Run(0, "j", JobState.SUCCEEDED, 4, points([1.0] * 4), points([1.0, 1.0], [2, 4]))
    torn = Run(0, "k", JobState.FAILED, 4, points([1.0, 1.0, math.nan]), points([1.0], [2]))
    _, b = compare("c", {"a": [good], "b": [torn]}, question(4, VAL)).variants
    assert (b.diverged, b.final_difference.mean) == (True, None)


def test_the_final_loss_is_the_last_validation_or_the_mean_of_the_last_tenth() -> None:
    whole = run(0, [float(k) for k in range(1, 101)], val_loss=points([5.0, 4.0], [50, 100]))
    assert final_loss(whole, question(100)) == pytest.approx(95.5)
    assert final_loss(whole, question(100, VAL)) == 4.0
    assert final_loss(run(0, [1.0] * 99, steps=100), question(100)) is None
    assert final_loss(Run(0, None, None, 100), question(100)) is None


def test_steps_and_seconds_to_a_loss_are_told_and_null_where_it_was_not_reached() -> None:
    falling = run(0, [5.0, 4.0, 3.0, 2.0, 1.0, 0.5], step_s=points([2.0, 0.5, 1.0], [1, 3, 6]))
    assert steps_to(falling, 2.0, question(6)) == 4
    assert steps_to(falling, 2.0, question(6, window=2)) == 6  # (1 + 0.5)/2; (3 + 2)/2 is above
    assert steps_to(falling, 0.1, question(6)) is None
    assert [seconds_to(falling, s) for s in (1, 2, 3, 4, 6)] == pytest.approx([2.0, 2.5, 3.0, 4.0, 6.0])
    assert seconds_to(falling, 7) is None
    assert seconds_to(run(0, [1.0]), 1) is None


def test_the_target_is_the_references_mean_final_loss_unless_asked_otherwise() -> None:
    variants = {"a": [run(0, [3.0, 1.0]), run(1, [3.0, 2.0])], "b": [run(0, [1.2, 1.0]), run(1, [1.6, 9.0])]}
    found = compare("c", variants, question(2))
    assert found.target == 1.5
    assert [[r.steps_to_target for r in v.runs] for v in found.variants] == [[2, None], [1, None]]
    found = compare("c", variants, question(2, target=1.0))
    assert [[r.steps_to_target for r in v.runs] for v in found.variants] == [[2, None], [2, None]]


def test_of_the_reference_itself_there_is_no_difference_and_of_nothing_an_empty_one() -> None:
    empty = {"a": [Run(0, "j", JobState.QUEUED, 10)], "b": [Run(0, None, None, 10)]}
    a, b = compare("c", empty, question(10)).variants
    assert (a.difference, a.final_difference) == (None, None)
    assert (b.difference.steps, b.final_difference.mean, b.runs[0].last_step) == ((), None, 0)


def test_long_curves_are_thinned_and_say_so() -> None:
    long = [0.0] * 10_000
    curve = difference_curve([run(0, long)], [run(0, long)], question(10_000, window=1))
    assert (len(curve.steps), curve.num_points) == (MAX_POINTS, 10_000)
    assert (curve.steps[0], curve.steps[-1]) == (1, 10_000)
    assert len(difference_curve([run(0, long)], [run(0, long)], question(10_000)).steps) == 50

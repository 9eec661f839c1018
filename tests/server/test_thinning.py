"""Long series for charts: smoothed over every point, then thinned; nothing that matters is lost."""

from __future__ import annotations

import numpy as np
import pytest

from server.thinning import CHART_POINTS, for_charts, for_glance, newest_of_each_step, smoothed
from sm3.remote.frames import Point, Scalars


def naive(values: np.ndarray, span: int) -> list[float]:
    """The average as its definition has it, one point after the other."""
    keep, total, weight, out = 1 - 2 / (span + 1), 0.0, 0.0, []
    for value in values:
        if np.isfinite(value):
            total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        out.append(total / weight if weight else float("nan"))
    return out


@pytest.mark.parametrize("span", [2, 10, 100, 1000])
@pytest.mark.parametrize("length", [1, 7, 5000])
def test_smoothing_is_the_average_of_its_definition(span: int, length: int) -> None:
    values = np.random.default_rng(span).lognormal(size=length)
    values[::13] = np.nan
    values[5::17] = np.inf
    # 1e-12: both add the same numbers, in another order.
    np.testing.assert_allclose(smoothed(values, span), naive(values, span), rtol=1e-12)


def test_the_average_is_of_all_points_and_not_of_those_that_thinning_leaves() -> None:
    rng = np.random.default_rng(0)
    values = (
        1.0 + (rng.random(100_000) < 0.001) * 50.0
    )  # spikes, which thinning keeps and an average must not raise
    history = Scalars(("loss",), np.arange(100_000), np.zeros(100_000, np.uint32), values)
    found, counts = for_charts(history)
    series = found.by_series()
    assert counts == {"loss": 100_000}
    assert set(series) == {"loss", "loss~10", "loss~100", "loss~1000"}
    assert all(len(steps) <= CHART_POINTS for steps, _ in series.values())
    assert series["loss"][1].max() == 51.0
    steps, averaged = series["loss~1000"]
    np.testing.assert_array_equal(averaged, smoothed(values, 1000)[steps])
    assert 1.0 < np.median(averaged) < 1.1
    assert np.mean(series["loss"][1]) > 1.5  # what an average of the thinned points would be near


def test_a_short_series_comes_whole_and_alone() -> None:
    history = Scalars.from_points([Point("loss", step, 1.0) for step in range(CHART_POINTS)])
    found, counts = for_charts(history)
    assert (found.names, len(found.step), counts) == (("loss",), CHART_POINTS, {})


def test_a_lone_nan_survives_thinning() -> None:
    values = np.ones(10_000)
    values[5432] = np.nan
    found, _ = for_charts(Scalars(("x",), np.arange(10_000), np.zeros(10_000, np.uint32), values))
    steps, kept = found.by_series()["x"]
    assert steps[np.isnan(kept)].tolist() == [5432]


def test_of_a_step_done_twice_the_last_counts() -> None:
    steps, values = newest_of_each_step(np.array([1, 2, 3, 2, 3, 4]), np.array([1.0, 2, 3, 20, 30, 40]))
    assert (steps.tolist(), values.tolist()) == ([1, 2, 3, 4], [1, 20, 30, 40])


def test_a_glance_is_short_however_long_the_job() -> None:
    points = [Point(f"rate_p50/w{k}", step, float(step)) for step in range(3000) for k in range(3)]
    points += [Point("nonfinite/w1", 17, 4.0)]
    series = for_glance(Scalars.from_points(points), "rate_p50").by_series()
    assert {len(steps) for name, (steps, _) in series.items() if name != "nonfinite/w1"} == {48}
    assert series["nonfinite/w1"][1].tolist() == [4.0]

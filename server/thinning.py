"""Long series made short enough for a chart: smoothed over all of their points first, thinned after. No I/O."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tsdownsample import MinMaxLTTBDownsampler

from server.store.chunks import SAMPLED
from sm3.remote.frames import Scalars
from sm3.remote.live_specs import MOSTLY, SMOOTHED_SERIES, SMOOTHING_SPANS, smoothed_name

CHART_POINTS = 2000
GLANCE_POINTS = 48
_MAX_TOLD = 100
_DOWNSAMPLER = MinMaxLTTBDownsampler()  # type: ignore[no-untyped-call]
Steps = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Thinned(NamedTuple):
    """Points of several series, and how many finite ones those had that were thinned."""

    scalars: Scalars
    num_points: dict[str, int]


def kept(steps: npt.NDArray[Any], values: npt.NDArray[Any], max_points: int) -> npt.NDArray[np.intp]:
    """Returns which points of a series stay, by MinMax-LTTB: all where they are no more than ``max_points``.

    Non-finite points stay besides, up to ``max_points`` of them: a lone NaN has to survive thinning.
    """
    if len(steps) <= max_points:
        return np.arange(len(steps))
    finite = np.isfinite(values)  # the library refuses NaN
    places = np.flatnonzero(finite)
    if len(places) > max_points:
        places = places[
            _DOWNSAMPLER.downsample(steps[finite], values[finite], n_out=max_points).astype(np.intp)
        ]
    return np.union1d(places, np.flatnonzero(~finite)[:max_points])


def smoothed(values: Floats, span: int) -> Floats:
    """Returns the exponential moving average over about ``span`` points, without a bias towards its start.

    What is not finite is passed over; NaN before the first finite value.

    Args:
        values: [n].
        span: the newest point weighs 2/(span + 1).
    """
    keep = 1 - 2 / (span + 1)
    finite = np.isfinite(values)
    found = np.where(finite, values, 0.0)
    kept_before = np.cumsum(finite)
    compact = found[finite]
    out = np.empty(len(compact))
    carry, at = 0.0, 0
    # In blocks: keep**-k must not overflow. y[k] = keep**k · (keep·carry + (1 − keep)·Σ x[i]·keep**-i).
    block = max(1, int(30 / -np.log(keep)))
    powers = keep ** np.arange(block)
    while at < len(compact):
        part = compact[at : at + block]
        power = powers[: len(part)]
        out[at : at + block] = power * (keep * carry + (1 - keep) * np.cumsum(part / power))
        at += len(part)
        carry = float(out[at - 1])
    out /= 1 - keep ** np.arange(1, len(out) + 1)
    result = np.full(len(values), np.nan)
    result[kept_before > 0] = out[kept_before[kept_before > 0] - 1]
    return result


def for_charts(history: Scalars, max_points: int = CHART_POINTS) -> Thinned:
    """Returns a history as a chart needs it: at most ``max_points`` a series, and smoothed curves of what was thinned.

    A smoothed curve of ``loss`` over about 100 points is the series ``loss~100``. Series that are short enough come
    whole and without: whoever has all points smooths them himself.
    """
    parts, counts = [], {}
    for name, (all_steps, all_values) in history.by_series().items():
        steps, values = newest_of_each_step(all_steps, all_values)
        if len(steps) <= max_points:
            parts.append(_series(name, steps, values))
            continue
        curves = {name: values}
        if name in SMOOTHED_SERIES:
            curves |= {smoothed_name(name, span): smoothed(values, span) for span in SMOOTHING_SPANS}
        counts[name] = int(np.isfinite(values).sum())
        for curve, numbers in curves.items():
            places = kept(steps, numbers, max_points)
            parts.append(_series(curve, steps[places], numbers[places]))
    return Thinned(Scalars.concatenate(parts), counts)


def for_glance(points: Scalars, sampled: str) -> Scalars:
    """Returns a few points of each series.

    Of the ``sampled`` statistic's the thinned curve, of others that are shares where they become the case of most
    sets, and of counts the newest changes.
    """
    parts = []
    for name, (all_steps, all_values) in points.by_series().items():
        steps, values = newest_of_each_step(all_steps, all_values)
        statistic = name.partition("/")[0]
        if statistic == sampled:
            places = kept(steps, values, GLANCE_POINTS)[-2 * GLANCE_POINTS :]
        else:
            mostly = values >= MOSTLY
            turns = np.flatnonzero(mostly != np.concatenate([[False], mostly[:-1]]))
            changes = np.flatnonzero(values != np.concatenate([[0.0], values[:-1]]))
            places = (turns if statistic in SAMPLED else changes)[-_MAX_TOLD:]
        parts.append(_series(name, steps[places], values[places]))
    return Scalars.concatenate(parts)


def newest_of_each_step(steps: Steps, values: Floats) -> tuple[Steps, Floats]:
    """Returns a series in ascending order of steps; of a step that was done twice what came last counts."""
    if len(steps) < 2 or bool((np.diff(steps) > 0).all()):
        return steps, values
    unique, last = np.unique(steps[::-1], return_index=True)
    return unique, values[::-1][last]


def _series(name: str, steps: Steps, values: Floats) -> Scalars:
    return Scalars((name,), steps, np.zeros(len(steps), np.uint32), values)

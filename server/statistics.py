"""Statistics of a comparison: pure functions of what its runs recorded.

Everything is paired: a variant's loss minus the reference's, of the runs with the same seed and so the same batch
at the same step. What is common to both (a hard batch, a lucky seed) cancels.

* Over two and more seeds the band of a mean difference is Student's t interval of the seeds' differences. It holds
  at each step by itself, not for the whole curve at once.
* One seed tells nothing of the spread between seeds. Of the training loss, the band of the final difference then is
  that of the noise from batch to batch alone: a moving-block bootstrap of the differences in the final window
  (Künsch 1989, Annals of Statistics 17(3)), since neighbouring steps are alike.
* A run that diverged has no final loss, and no mean is formed over those that are left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from server.bands import block_bootstrap, t_band
from sm3.remote.comparison_views import (
    BandMethod,
    ComparisonStatistics,
    DifferenceCurve,
    FinalDifference,
    LossSeries,
    RunStatistics,
    VariantStatistics,
)
from sm3.remote.wire import JobState

Floats = npt.NDArray[np.float64]
Points = tuple[npt.NDArray[np.int64], Floats]
"""Steps, increasing, and the values there."""

MAX_POINTS = 2000
_MAX_FINAL_WINDOW = 10_000
_MIN_RESAMPLED = 8
NOTHING: Points = (np.empty(0, np.int64), np.empty(0, np.float64))


@dataclass(frozen=True)
class Run:
    """What one run recorded: one variant at one seed.

    Attributes:
        seed: its seed.
        job: its job; None if that is no more.
        state: the job's state.
        steps: steps it was asked to take.
        loss: training loss of every step so far, in any order; of a step that is there twice the last counts.
        val_loss: loss on held-out data.
        step_s: mean seconds a step since the point before.
        state_bytes: what its optimizer holds; None before its first step.
    """

    seed: int
    job: str | None
    state: JobState | None
    steps: int
    loss: Points = NOTHING
    val_loss: Points = NOTHING
    step_s: Points = NOTHING
    state_bytes: int | None = None

    def points(self, series: LossSeries) -> Points:
        """Returns a loss series in the order of its steps."""
        return ordered(self.loss if series is LossSeries.LOSS else self.val_loss)

    @property
    def diverged_at(self) -> int | None:
        """The first step at which a loss was NaN or infinite."""
        bad = [steps[~np.isfinite(values)] for steps, values in (self.loss, self.val_loss)]
        found = np.concatenate(bad)
        return int(found.min()) if len(found) else None


@dataclass(frozen=True)
class Question:
    """What is asked of a comparison.

    Attributes:
        reference: the variant that all are compared with.
        series: the loss that is compared.
        confidence: of the bands, in (0, 1).
        steps: steps of each run.
        window: steps that one point of the training loss averages; None: a fiftieth of the run, but ten where
            it has fifty.
        target: the loss to reach; None: the mean of the reference's final losses.
    """

    reference: str
    series: LossSeries
    confidence: float
    steps: int
    window: int | None = None
    target: float | None = None

    @property
    def window_steps(self) -> int:
        """Steps that one point averages: single batches are noisy, a validation is not."""
        if self.series is LossSeries.VAL_LOSS:
            return 1
        return self.window or max(1, self.steps // 50, min(10, self.steps // 5))

    @property
    def final_window_steps(self) -> int:
        """Steps at the end that the final loss averages: the last validation, or a tenth of the training."""
        if self.series is LossSeries.VAL_LOSS:
            return 1
        return min(_MAX_FINAL_WINDOW, max(1, self.steps // 10))


def compare(
    comparison_id: str, variants: Mapping[str, Sequence[Run]], question: Question
) -> ComparisonStatistics:
    """Returns the statistics of ``variants`` (name to runs) against ``question.reference``, one of them."""
    reference = variants[question.reference]
    target = question.target
    if target is None:
        target = _mean([final_loss(run, question) for run in reference])
    return ComparisonStatistics(
        comparison=comparison_id,
        reference=question.reference,
        series=question.series,
        confidence=question.confidence,
        window_steps=question.window_steps,
        final_window_steps=question.final_window_steps,
        target=target,
        variants=tuple(
            VariantStatistics(
                name=name,
                diverged=any(run.diverged_at is not None for run in runs),
                runs=tuple(_run_statistics(run, question, target) for run in runs),
                difference=None if runs is reference else difference_curve(runs, reference, question),
                final_difference=None if runs is reference else final_difference(runs, reference, question),
            )
            for name, runs in variants.items()
        ),
    )


def _run_statistics(run: Run, question: Question, target: float | None) -> RunStatistics:
    reached = None if target is None else steps_to(run, target, question)
    last = max((int(steps.max()) for steps, _ in (run.loss, run.val_loss) if len(steps)), default=0)
    return RunStatistics(
        seed=run.seed,
        job=run.job,
        state=run.state,
        last_step=last,
        diverged=run.diverged_at is not None,
        diverged_at_step=run.diverged_at,
        final_loss=final_loss(run, question),
        state_bytes=run.state_bytes,
        steps_to_target=reached,
        seconds_to_target=None if reached is None else seconds_to(run, reached),
    )


def ordered(points: Points) -> Points:
    """Returns ``points`` by increasing step, of each step the last one given."""
    steps, values = points
    kept, first = np.unique(steps[::-1], return_index=True)
    return kept, values[::-1][first]


def windowed(points: Points, window: int, steps: int) -> Points:
    """Returns the mean of each window of ``window`` steps that is over, at its last step.

    Args:
        points: in the order of their steps.
        window: the first one is 1..window; the last one ends with the run, and may be shorter.
        steps: steps of the whole run.
    """
    at, values = points
    if window == 1 or not len(at):
        return points
    numbers = (at - 1) // window
    ends = np.minimum((np.unique(numbers) + 1) * window, steps)
    _, starts, counts = np.unique(numbers, return_index=True, return_counts=True)
    with np.errstate(invalid="ignore"):  # of a loss that is no number, the mean is none
        means = np.add.reduceat(values, starts) / counts
    over = ends <= at[-1]
    return ends[over], means[over]


def paired(ours: Points, theirs: Points) -> Points:
    """Returns ours minus theirs at the steps that both have."""
    steps, here, there = np.intersect1d(ours[0], theirs[0], assume_unique=True, return_indices=True)
    with np.errstate(invalid="ignore"):  # inf − inf is NaN, as it should be
        return steps, ours[1][here] - theirs[1][there]


def difference_curve(runs: Sequence[Run], reference: Sequence[Run], question: Question) -> DifferenceCurve:
    """Returns the mean difference over seeds at each step, with Student's t band."""
    pairs = _pairs(runs, reference)
    curves = [windowed(_difference(pair, question), question.window_steps, question.steps) for pair in pairs]
    steps = np.unique(np.concatenate([NOTHING[0], *(at for at, _ in curves)]))
    table = np.full((len(curves), len(steps)), np.nan)
    for row, (at, values) in zip(table, curves, strict=True):
        row[np.searchsorted(steps, at)] = values
    mean, half, num_seeds = t_band(table, question.confidence)
    diverged_at = [step for pair in pairs for run in pair if (step := run.diverged_at) is not None]
    mean[steps >= min(diverged_at, default=np.inf)] = np.nan
    shown = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MAX_POINTS)).round().astype(int))
    return DifferenceCurve(
        steps=tuple(steps[shown].tolist()),
        mean=_listed(mean[shown]),
        low=_listed((mean - half)[shown]),
        high=_listed((mean + half)[shown]),
        num_seeds=tuple(num_seeds[shown].tolist()),
        num_points=len(steps),
    )


def final_difference(runs: Sequence[Run], reference: Sequence[Run], question: Question) -> FinalDifference:
    """Returns the mean difference in final loss and its band: over seeds, or else within the one there is."""
    ends = []
    for ours, theirs in _pairs(runs, reference):
        if final_loss(ours, question) is not None and final_loss(theirs, question) is not None:
            steps, values = _difference((ours, theirs), question)
            ends.append(values[steps > question.steps - question.final_window_steps])
    diverged = any(run.diverged_at is not None for run in (*runs, *reference))
    if diverged or not ends:
        return FinalDifference(mean=None, low=None, high=None, method=BandMethod.NONE, num_seeds=len(ends))
    means = np.array([values.mean() for values in ends])
    middle = float(means.mean())
    method, half_low, half_high = BandMethod.NONE, math.nan, math.nan
    if len(means) > 1:
        _, half, _ = t_band(means[:, None], question.confidence)
        method, half_low, half_high = BandMethod.STUDENT_T, -float(half[0]), float(half[0])
    elif len(ends[0]) >= _MIN_RESAMPLED:
        method = BandMethod.BOOTSTRAP
        half_low, half_high = block_bootstrap(ends[0], question.confidence)
    low, high = _listed(np.array([middle + half_low, middle + half_high]))
    return FinalDifference(mean=middle, low=low, high=high, method=method, num_seeds=len(means))


def final_loss(run: Run, question: Question) -> float | None:
    """Returns the loss at the end of a run: None before that, and if it diverged."""
    steps, values = run.points(question.series)
    if run.diverged_at is not None or not len(steps) or steps[-1] < run.steps:
        return None
    return float(values[steps > run.steps - question.final_window_steps].mean())


def steps_to(run: Run, target: float, question: Question) -> int | None:
    """Returns the first step at which the loss (of the training: its mean over a window) is at most ``target``."""
    steps, values = windowed(run.points(question.series), question.window_steps, run.steps)
    below = np.flatnonzero(values <= target)
    return int(steps[below[0]]) if len(below) else None


def seconds_to(run: Run, step: int) -> float | None:
    """Returns the seconds that the first ``step`` steps took; None where they have not been told."""
    steps, each_s = ordered(run.step_s)
    if not len(steps) or step > steps[-1]:
        return None
    passed_s = np.cumsum(each_s * np.diff(steps, prepend=0))
    found = float(np.interp(step, [0, *steps], [0.0, *passed_s]))
    return found if math.isfinite(found) else None


def _pairs(runs: Sequence[Run], reference: Sequence[Run]) -> list[tuple[Run, Run]]:
    by_seed = {run.seed: run for run in reference}
    return [(run, by_seed[run.seed]) for run in runs if run.seed in by_seed]


def _difference(pair: tuple[Run, Run], question: Question) -> Points:
    ours, theirs = (run.points(question.series) for run in pair)
    return paired(ours, theirs)


def _mean(values: Sequence[float | None]) -> float | None:
    """Returns the mean; None if there is no value or one of them is missing."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found and len(found) == len(values) else None


def _listed(values: Floats) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in values.tolist())

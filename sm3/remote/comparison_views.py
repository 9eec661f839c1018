"""What the service answers about comparisons. No torch.

A difference is always variant minus reference, of two runs with the same seed at the same step: below 0, the
variant's loss is lower. Losses are nats a token, or whatever the recipe's loss is in.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.wire import JobState, View


class VariantView(View):
    """A variant and its jobs, in the order of the comparison's seeds; null for a job that is no more."""

    name: str
    jobs: tuple[str | None, ...]


class ComparisonView(View):
    """A comparison as the service knows it."""

    id: str
    label: str
    created_at: datetime
    seeds: tuple[int, ...]
    variants: tuple[VariantView, ...]
    states: dict[JobState, int] = Field(description="how many of its jobs are in each state")
    spec: ComparisonSpec

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to any of its jobs."""
        return all(state.is_final for state in self.states)


class ComparisonPage(View):
    """Comparisons, newest first. ``next`` is the cursor of the following page, null on the last."""

    items: tuple[ComparisonView, ...]
    next: str | None = None


class LossSeries(StrEnum):
    """The series that statistics are about."""

    VAL_LOSS = "val_loss"
    LOSS = "loss"


class BandMethod(StrEnum):
    """Where a band comes from; ``none`` where there is too little for one."""

    STUDENT_T = "student-t"
    BOOTSTRAP = "moving-block-bootstrap"
    NONE = "none"


class RunStatistics(View):
    """One run: one variant at one seed."""

    seed: int
    job: str | None
    state: JobState | None
    last_step: int = Field(description="the last step with a loss, 0 before the first")
    diverged: bool = Field(description="its loss became NaN or infinite")
    diverged_at_step: int | None = Field(description="the first step at which it was")
    final_loss: float | None = Field(description="null until the last step is done, and if it diverged")
    state_bytes: int | None = Field(
        description="what its optimizer holds, measured; null before its first step"
    )
    steps_to_target: int | None = Field(
        description="the first step at or below the target; null: not reached"
    )
    seconds_to_target: float | None = Field(description="training time up to that step, without validation")


class DifferenceCurve(View):
    """The mean difference over seeds, step by step, and its band.

    ``low`` and ``high`` are null with fewer than two seeds; ``mean`` too where no seed has both losses, and from
    the step on at which a run diverged: a mean over those that survived would hide it.
    """

    steps: tuple[int, ...]
    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    num_seeds: tuple[int, ...] = Field(description="seeds at which both runs have a finite loss")
    num_points: int = Field(description="points before every so manieth was taken")


class FinalDifference(View):
    """The mean difference in final loss over the seeds at which both runs have one, and its band.

    ``mean`` is null while there is no such seed, and if a run of either variant diverged.
    """

    mean: float | None
    low: float | None
    high: float | None
    method: BandMethod
    num_seeds: int


class VariantStatistics(View):
    """A variant beside the reference; of the reference itself the differences are null."""

    name: str
    diverged: bool = Field(description="at one seed at least")
    runs: tuple[RunStatistics, ...]
    difference: DifferenceCurve | None
    final_difference: FinalDifference | None


class ComparisonStatistics(View):
    """All variants of a comparison against one of them."""

    comparison: str
    reference: str
    series: LossSeries
    confidence: float = Field(description="of each band, at each step by itself")
    window_steps: int = Field(description="the loss is averaged over this many steps; 1 for val_loss")
    final_window_steps: int = Field(description="steps at the end that the final loss averages; 1: the last")
    target: float | None = Field(
        description="the loss to reach: as asked, or the reference's mean final loss"
    )
    variants: tuple[VariantStatistics, ...]

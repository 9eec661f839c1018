"""Jobs, races and their statistics, made up for tests of the Compare page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dashboard.figures.chart import Chart
from dashboard.figures.compare_pareto import Point
from dashboard.figures.compare_sources import (
    of_jobs,
)
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import (
    BandMethod,
    ComparisonStatistics,
    ComparisonView,
    DifferenceCurve,
    FinalDifference,
    LossSeries,
    RunStatistics,
    VariantStatistics,
    VariantView,
)
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState, JobView, Memory, Progress, Series

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(job_id: str = "j1", *, state: JobState = JobState.SUCCEEDED, step: int = 100, **more: Any) -> JobView:
    progress = {"loss": more.pop("loss", 2.0), "val_loss": more.pop("val_loss", None)}
    memory = more.pop("state_bytes", None)
    spec = JobSpec.model_validate({"recipe": {"name": "images"}, "steps": 100, **more})
    return JobView(
        id=job_id,
        state=state,
        attempt=0,
        created_at=NOW,
        spec=spec,
        progress=Progress(step=step, steps=100, **progress),
        memory=None
        if memory is None
        else Memory(
            num_parameters=1,
            parameter_bytes=1,
            accumulator_bytes=memory,
            momentum_bytes=0,
            state_bytes=memory,
            adam_bytes=1,
            adagrad_bytes=1,
        ),
    )


def sm3(**more: Any) -> dict[str, Any]:
    return {"name": "sm3", **more}


SHADOWED = job(
    record={
        "shadows": [
            {"cover": {"kind": "blocks", "tile": 16}},
            {"cover": {"kind": "singletons"}, "label": "adagrad"},
        ]
    }
)


def race(
    jobs: Sequence[str | None] = ("a", "b"), names: Sequence[str] = ("slices", "whole")
) -> ComparisonView:
    spec = ComparisonSpec.model_validate({
        "base": {"recipe": {"name": "images"}},
        "variants": [{"name": name} for name in names],
    })
    return ComparisonView(
        id="r1",
        label="",
        created_at=NOW,
        seeds=(0,),
        variants=tuple(VariantView(name=n, jobs=(j,)) for n, j in zip(names, jobs, strict=True)),
        states={JobState.SUCCEEDED: len(jobs)},
        spec=spec,
    )


def points(*pairs: tuple[int | None, float | None]) -> list[Point]:
    contenders = of_jobs([job(f"id-{n:04}") for n in range(len(pairs))])
    return [Point(c, b, v) for c, (b, v) in zip(contenders, pairs, strict=True)]


def variant(
    name: str,
    final: tuple[float, float | None, float | None] | None,
    *,
    num_bytes: int | None = 100,
    diverged: bool = False,
    state: JobState = JobState.SUCCEEDED,
    loss: float | None = 2.0,
) -> VariantStatistics:
    mean, low, high = final or (None, None, None)
    return VariantStatistics(
        name=name,
        diverged=diverged,
        runs=(
            RunStatistics(
                seed=0,
                job="j",
                state=state,
                last_step=40,
                diverged=diverged,
                diverged_at_step=3 if diverged else None,
                final_loss=None if diverged else loss,
                state_bytes=num_bytes,
                steps_to_target=None,
                seconds_to_target=None,
            ),
        ),
        difference=DifferenceCurve(
            steps=(1, 2), mean=(mean, mean), low=(low, low), high=(high, high), num_seeds=(1, 1), num_points=2
        ),
        final_difference=FinalDifference(
            mean=mean,
            low=low,
            high=high,
            method=BandMethod.STUDENT_T if low is not None else BandMethod.NONE,
            num_seeds=3,
        ),
    )


def told(*variants: VariantStatistics, reference: str = "slices") -> ComparisonStatistics:
    return ComparisonStatistics(
        comparison="r1",
        reference=reference,
        series=LossSeries.VAL_LOSS,
        confidence=0.9,
        window_steps=1,
        final_window_steps=1,
        target=None,
        variants=variants,
    )


def series(values: Sequence[float | None]) -> Series:
    return Series(steps=tuple(range(1, len(values) + 1)), values=tuple(values), num_points=len(values))


def assert_drawable(chart: Chart) -> None:
    """Fails where a browser could not read the chart: NaN is no JSON, and keys tell contenders apart without colour."""
    payload = json.dumps(chart.payload(), allow_nan=False)
    assert chart.name in payload
    assert chart.alt.endswith(".")

"""``/v1/comparisons``: one job in several variants, at equal seeds and data order, and how they differ."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from starlette.concurrency import run_in_threadpool

from server.auth import Scope, needs
from server.checks import job_faults
from server.examples import COMPARISON_EXAMPLES
from server.problems import Refusal, invalid
from server.routes.jobs import IdempotencyKey
from server.service import ComparisonId, Service, ServiceDep
from server.statistics import NOTHING, Question, Run, compare
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import ComparisonPage, ComparisonStatistics, ComparisonView, LossSeries
from sm3.remote.wire import FieldFault, JobView

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])


@router.post(
    "",
    status_code=201,
    dependencies=[needs(Scope.LAUNCH)],
    responses={200: {"model": ComparisonView, "description": "the key made it before"}},
)
async def create(
    here: ServiceDep,
    response: Response,
    spec: Annotated[ComparisonSpec, Body(openapi_examples=COMPARISON_EXAMPLES)],
    idempotency_key: IdempotencyKey = None,
) -> ComparisonView:
    """Queues every variant at every seed, all jobs or none; all variants of a seed before the next seed."""
    await run_in_threadpool(_require_fit, spec)
    comparison, queued = await run_in_threadpool(here.comparisons.create, spec, key=idempotency_key)
    response.headers["Location"] = f"/v1/comparisons/{comparison.id}"
    if not queued:
        response.status_code = 200
    for job in queued:
        await here.changed(job)
    return comparison


@router.get("", dependencies=[needs(Scope.VIEW)])
def list_comparisons(
    here: ServiceDep,
    after: Annotated[
        str | None, Query(max_length=64, description="cursor: `next` of the page before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> ComparisonPage:
    """Lists comparisons, newest first."""
    return here.comparisons.page(after=after, limit=limit)


@router.get("/{comparison_id}", dependencies=[needs(Scope.VIEW)])
def get(here: ServiceDep, comparison_id: ComparisonId) -> ComparisonView:
    """Returns one comparison: what was asked, its jobs, and how many of them are in which state."""
    return here.comparisons.get(comparison_id)


@router.post("/{comparison_id}/cancel", dependencies=[needs(Scope.LAUNCH)])
async def cancel(here: ServiceDep, comparison_id: ComparisonId) -> ComparisonView:
    """Stops its jobs that have not ended; what they have recorded stays. Cancelling twice changes nothing."""
    changed = await run_in_threadpool(
        here.comparisons.cancel, comparison_id, "a user cancelled its comparison"
    )
    for job in changed:
        await here.changed(job)
    return await run_in_threadpool(here.comparisons.get, comparison_id)


@router.get("/{comparison_id}/statistics", dependencies=[needs(Scope.VIEW)])
def statistics(
    here: ServiceDep,
    comparison_id: ComparisonId,
    reference: Annotated[
        str | None, Query(max_length=64, description="the variant to compare with; none: the first")
    ] = None,
    series: LossSeries = LossSeries.VAL_LOSS,
    confidence: Annotated[float, Query(ge=0.5, le=0.999, description="of the bands")] = 0.9,
    target: Annotated[
        float | None,
        Query(allow_inf_nan=False, description="the loss to reach; none: the reference's mean final loss"),
    ] = None,
    window: Annotated[
        int | None,
        Query(
            ge=1,
            le=100_000_000,
            description="steps that a point of `loss` averages; none: a fiftieth of them",
        ),
    ] = None,
) -> ComparisonStatistics:
    """Compares the variants at equal step and seed: mean difference in loss with a band, final loss, bytes, time.

    A band is Student's t over the seeds; with one seed only the final difference in `loss` has one, from a
    moving-block bootstrap. A run whose loss became NaN or infinite has `diverged: true` and no final loss.
    """
    comparison = here.comparisons.get(comparison_id)
    names = [variant.name for variant in comparison.variants]
    chosen = names[0] if reference is None else reference
    if chosen not in names:
        raise Refusal(
            404,
            "unknown-variant",
            "No such variant",
            f"There is no variant {chosen!r} to compare with; this comparison has {', '.join(map(repr, names))}.",
        )
    jobs = here.comparisons.jobs(comparison_id)
    steps = comparison.spec.base.steps
    variants = {
        name: [
            _run(here, seed, steps, jobs.get((number, seed_number)))
            for seed_number, seed in enumerate(comparison.seeds)
        ]
        for number, name in enumerate(names)
    }
    return compare(comparison_id, variants, Question(chosen, series, confidence, steps, window, target))


def _require_fit(spec: ComparisonSpec) -> None:
    """Refuses variants that the recipe's model cannot be trained with, every fault of all of them at once.

    Raises:
        Refusal: 422; what a variant has from the base is named there.
    """
    inherited = job_faults(spec.base)
    found: dict[str, FieldFault] = {}
    for number, _, job in islice(spec.jobs(""), len(spec.variants)):
        for fault in job_faults(job):
            place = "base" if fault in inherited else f"variants.{number}.change"
            field = f"{place}.{fault.field}"
            found.setdefault(field, fault.model_copy(update={"field": field}))
    if found:
        raise invalid(tuple(found.values()))


def _run(here: Service, seed: int, steps: int, job: JobView | None) -> Run:
    """Reads what one run has recorded."""
    if job is None:
        return Run(seed, None, None, steps)
    series = here.frames.history(job.id, job_wide=True).by_series()
    return Run(
        seed,
        job.id,
        job.state,
        steps,
        loss=series.get("loss", NOTHING),
        val_loss=series.get("val_loss", NOTHING),
        step_s=series.get("step_s", NOTHING),
        state_bytes=job.memory.state_bytes if job.memory else None,
    )

"""``/v1/jobs``: launch, list, look at, change, stop and delete jobs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from server.auth import Scope, caller, needs
from server.checks import require_fit
from server.examples import CLONE_EXAMPLES, JOB_EXAMPLES, PATCH_EXAMPLES
from server.service import JobId, ServiceDep
from server.store import JobFilter
from server.tickets import TICKET_S
from sm3.remote.comparison_specs import merge
from sm3.remote.job_specs import CloneSpec, JobPatch, JobSpec
from sm3.remote.recipe_specs import RecipeName
from sm3.remote.wire import JobPage, JobState, JobView, Ticket, TransitionList

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_LOG_BYTES = 64 * 1024
_USER = "a user asked for it"
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="any text of your own, such as a UUID: sent again with the same body it returns what it made then, "
        "with 200, instead of making another",
    ),
]
_LABEL = r"^[a-z0-9][a-z0-9_.-]{0,62}(:.{1,128})?$"
_MADE_BEFORE: dict[int | str, dict[str, Any]] = {
    200: {"model": JobView, "description": "the key made it before"}
}


@router.post("", status_code=201, dependencies=[needs(Scope.LAUNCH)], responses=_MADE_BEFORE)
async def launch(
    here: ServiceDep,
    response: Response,
    spec: Annotated[JobSpec, Body(openapi_examples=JOB_EXAMPLES)],
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Queues a training job; it starts as soon as a slot is free and no job of a higher priority waits."""
    await run_in_threadpool(require_fit, spec)
    if idempotency_key is None:
        job, is_new = await run_in_threadpool(here.jobs.create, spec), True
    else:
        job, is_new = await run_in_threadpool(here.jobs.create_once, spec, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    if not is_new:
        response.status_code = 200
        return job
    return await here.changed(job)


@router.get("", dependencies=[needs(Scope.VIEW)])
def list_jobs(
    here: ServiceDep,
    after: Annotated[
        str | None, Query(max_length=64, description="cursor: `next` of the page before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    state: Annotated[
        list[JobState] | None, Query(max_length=16, description="in one of these states; may be repeated")
    ] = None,
    recipe: Annotated[
        list[RecipeName] | None, Query(max_length=16, description="of one of these recipes; may be repeated")
    ] = None,
    label: Annotated[
        list[Annotated[str, Query(pattern=_LABEL)]] | None,
        Query(
            max_length=8,
            description="with this label: `key`, or `key:value`; may be repeated, all must be there",
            openapi_examples={"course": {"value": ["course:demo"]}},
        ),
    ] = None,
    comparison: Annotated[str, Query(max_length=64, description="of the comparison with this id")] = "",
    q: Annotated[
        str,
        Query(
            max_length=200, description="words, all of which are in id, recipe, optimizer, labels or notes"
        ),
    ] = "",
) -> JobPage:
    """Lists jobs, newest first. Jobs that are made while you page come before the first page and shift nothing."""
    wanted = JobFilter(tuple(state or ()), tuple(recipe or ()), tuple(label or ()), comparison, q)
    return here.jobs.page(wanted, after=after, limit=limit)


@router.get("/{job_id}", dependencies=[needs(Scope.VIEW, or_worker=True)])
def get(here: ServiceDep, job_id: JobId) -> JobView:
    """Returns one job: its spec, state, progress and measured optimizer bytes."""
    return here.jobs.get(job_id)


@router.patch("/{job_id}", dependencies=[needs(Scope.LAUNCH)])
async def change(
    here: ServiceDep, job_id: JobId, patch: Annotated[JobPatch, Body(openapi_examples=PATCH_EXAMPLES)]
) -> JobView:
    """Changes the job's labels, notes or priority, whatever its state; fields that are left out stay as they are."""
    return await here.changed(await run_in_threadpool(here.jobs.change, job_id, patch))


@router.delete("/{job_id}", status_code=204, dependencies=[needs(Scope.ADMIN)])
def delete(here: ServiceDep, job_id: JobId) -> None:
    """Deletes a job that has ended, with its frames, history, log and checkpoints. There is no way back."""
    here.delete_job(job_id)


@router.post("/{job_id}/clone", status_code=201, dependencies=[needs(Scope.LAUNCH)])
async def clone(
    here: ServiceDep,
    job_id: JobId,
    response: Response,
    wanted: Annotated[CloneSpec, Body(openapi_examples=CLONE_EXAMPLES)],
) -> JobView:
    """Queues a new job like this one, changed by a JSON merge patch; it starts from its first step."""
    original = await run_in_threadpool(here.jobs.get, job_id)
    spec = _changed(original, wanted)
    await run_in_threadpool(require_fit, spec)
    job = await run_in_threadpool(here.jobs.create, spec, cloned_from=job_id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return await here.changed(job)


def _changed(original: JobView, wanted: CloneSpec) -> JobSpec:
    """Returns the spec of a clone. Raises `RequestValidationError`, its fields below ``change``."""
    spec = original.spec.model_dump(mode="json") | {"labels": original.labels, "priority": original.priority}
    merged = merge(spec, wanted.change)
    try:
        return JobSpec.model_validate(merged)
    except ValidationError as error:
        found = [fault | {"loc": ("body", "change", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(found, body={"change": merged}) from error


@router.post("/{job_id}/cancel", dependencies=[needs(Scope.LAUNCH)])
async def cancel(here: ServiceDep, job_id: JobId) -> JobView:
    """Stops a job within about two seconds; what it has recorded stays. Cancelling twice changes nothing."""
    return await here.changed(await run_in_threadpool(here.jobs.cancel, job_id, _USER))


@router.post("/{job_id}/pause", dependencies=[needs(Scope.LAUNCH)])
async def pause(here: ServiceDep, job_id: JobId) -> JobView:
    """Asks a job to write a checkpoint and free its slot; a queued one is held. Pausing twice changes nothing."""
    return await here.changed(await run_in_threadpool(here.jobs.pause, job_id, _USER))


@router.post("/{job_id}/resume", dependencies=[needs(Scope.LAUNCH)])
async def resume(here: ServiceDep, job_id: JobId) -> JobView:
    """Queues a paused job: it goes on from its checkpoint, bit for bit as if it had never been paused.

    Resuming a job that waits or runs changes nothing.
    """
    return await here.changed(await run_in_threadpool(here.jobs.resume, job_id, _USER))


@router.get("/{job_id}/transitions", dependencies=[needs(Scope.VIEW)])
def transitions(here: ServiceDep, job_id: JobId) -> TransitionList:
    """Lists the job's changes of state, each with its time and cause."""
    return TransitionList(items=here.jobs.transitions(job_id))


@router.get("/{job_id}/log", dependencies=[needs(Scope.VIEW)], response_class=PlainTextResponse)
def log(here: ServiceDep, job_id: JobId) -> str:
    """Returns the last 64 KiB of what the job's workers wrote."""
    here.jobs.get(job_id)
    path = here.settings.jobs_dir / job_id / "worker.log"
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


@router.post("/{job_id}/tickets", status_code=201, dependencies=[needs(Scope.VIEW)])
async def ticket(here: ServiceDep, job_id: JobId, request: Request) -> Ticket:
    """Makes a single-use pass for the job's live WebSocket; it is good for as long as the caller's token is."""
    await run_in_threadpool(here.jobs.get, job_id)
    return Ticket(ticket=here.tickets.issue(job_id, caller(request)), expires_in_s=TICKET_S)

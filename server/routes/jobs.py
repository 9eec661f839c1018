"""``/v1/jobs``: launch, list, look at and cancel jobs; and what their workers report."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from server.auth import Scope, caller, needs
from server.checks import require_fit
from server.examples import JOB_EXAMPLES
from server.service import JobId, ServiceDep
from server.tickets import TICKET_S
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobPage, JobState, JobView, Manifest, Ticket, TransitionList, WorkerReport

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_LOG_BYTES = 64 * 1024


@router.post("", status_code=201, dependencies=[needs(Scope.LAUNCH)])
async def launch(
    here: ServiceDep, response: Response, spec: Annotated[JobSpec, Body(openapi_examples=JOB_EXAMPLES)]
) -> JobView:
    """Queues a training job; it starts as soon as a slot is free."""
    await run_in_threadpool(require_fit, spec)
    job = await run_in_threadpool(here.jobs.create, spec)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return await here.changed(job)


@router.get("", dependencies=[needs(Scope.VIEW)])
def list_jobs(
    here: ServiceDep,
    after: Annotated[
        str | None, Query(max_length=64, description="cursor: `next` of the page before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    state: JobState | None = None,
) -> JobPage:
    """Lists jobs, newest first."""
    return here.jobs.page(after=after, limit=limit, state=state)


@router.get("/{job_id}", dependencies=[needs(Scope.VIEW, or_worker=True)])
def get(here: ServiceDep, job_id: JobId) -> JobView:
    """Returns one job: its spec, state, progress and measured optimizer bytes."""
    return here.jobs.get(job_id)


@router.get("/{job_id}/transitions", dependencies=[needs(Scope.VIEW)])
def transitions(here: ServiceDep, job_id: JobId) -> TransitionList:
    """Lists the job's changes of state, each with its time and cause."""
    return TransitionList(items=here.jobs.transitions(job_id))


@router.post("/{job_id}/cancel", dependencies=[needs(Scope.LAUNCH)])
async def cancel(here: ServiceDep, job_id: JobId) -> JobView:
    """Stops a job within about two seconds; what it has recorded stays. Cancelling twice changes nothing."""
    return await here.changed(await run_in_threadpool(here.jobs.cancel, job_id, "a user asked for it"))


@router.get("/{job_id}/log", dependencies=[needs(Scope.VIEW)], response_class=PlainTextResponse)
def log(here: ServiceDep, job_id: JobId) -> str:
    """Returns the last 64 KiB of what the job's worker wrote."""
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


@router.post("/{job_id}/report", dependencies=[needs(Scope.ADMIN, or_worker=True)], tags=["worker"])
async def report(here: ServiceDep, job_id: JobId, word: WorkerReport) -> JobView:
    """Takes a worker's word on its own state."""
    if word.phase is not None:
        job = await run_in_threadpool(here.jobs.set_phase, job_id, word.phase, attempt=word.attempt)
        here.hub.publish(job_id, job)
    if word.state is not None:
        state = JobState(word.state)
        job = await run_in_threadpool(here.jobs.move, job_id, state, word.cause, attempt=word.attempt)
        await here.changed(job)
    return await run_in_threadpool(here.jobs.get, job_id)


@router.put(
    "/{job_id}/manifest",
    dependencies=[needs(Scope.ADMIN, or_worker=True)],
    tags=["worker"],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Manifest.model_json_schema()}},
        }
    },
)
async def manifest(here: ServiceDep, job_id: JobId, request: Request) -> JobView:
    """Takes a worker's tensors, measured bytes and the provenance of its data; the job runs from then on."""
    # Read here rather than by FastAPI, which would parse the megabytes of a stranger before asking for a token.
    body = await request.body()
    try:
        found = await run_in_threadpool(Manifest.model_validate_json, body)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    job = await run_in_threadpool(here.jobs.set_manifest, job_id, found)
    here.hub.publish(job_id, job)
    return job

"""What a job's worker tells of itself."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from server.auth import Scope, needs
from server.service import JobId, ServiceDep
from sm3.remote.wire import JobState, JobView, Manifest, WorkerReport

router = APIRouter(
    prefix="/v1/jobs/{job_id}", tags=["worker"], dependencies=[needs(Scope.ADMIN, or_worker=True)]
)


@router.post("/report")
async def report(here: ServiceDep, job_id: JobId, word: WorkerReport) -> JobView:
    """Takes a worker's word on its own state, on what it does while starting, or on trouble it goes on in spite of."""
    if word.phase is not None:
        job = await run_in_threadpool(here.jobs.set_phase, job_id, word.phase, attempt=word.attempt)
        here.hub.publish(job_id, job)
    if word.warning is not None:
        job = await run_in_threadpool(here.jobs.set_warning, job_id, word.warning, attempt=word.attempt)
        here.hub.publish(job_id, job)
    if word.state is not None and word.state != "paused":  # what that means, the supervisor knows
        state = JobState(word.state)
        job = await run_in_threadpool(here.jobs.move, job_id, state, word.cause, attempt=word.attempt)
        await here.changed(job)
    return await run_in_threadpool(here.jobs.get, job_id)


@router.put(
    "/manifest",
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

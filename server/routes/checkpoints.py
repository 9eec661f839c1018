"""``/v1/jobs/{id}/checkpoints``: what a job can go on from, and the weights in it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse

from server import checkpoint_files
from server.auth import Scope, needs
from server.problems import not_found
from server.service import JobId, ServiceDep
from sm3.remote.wire import CheckpointList

router = APIRouter(prefix="/v1/jobs/{job_id}/checkpoints", tags=["checkpoints"])
BLOB = "application/vnd.safetensors"
Step = Annotated[int, Path(ge=1, lt=10**12, description="the step that a checkpoint was written after")]


@router.get("", dependencies=[needs(Scope.VIEW)])
def checkpoints(here: ServiceDep, job_id: JobId) -> CheckpointList:
    """Lists the job's checkpoints, newest first; the newest `checkpoint.keep` are there."""
    here.jobs.get(job_id)
    return CheckpointList(items=checkpoint_files.listed(here.checkpoints_dir(job_id)))


@router.get(
    "/{step}/model",
    dependencies=[needs(Scope.VIEW)],
    response_class=FileResponse,
    responses={200: {"content": {BLOB: {"schema": {"type": "string", "format": "binary"}}}}},
)
def model(here: ServiceDep, job_id: JobId, step: Step) -> FileResponse:
    """Returns the model's weights after ``step`` steps: a safetensors file, by parameter name."""
    here.jobs.get(job_id)
    folder = here.checkpoints_dir(job_id)
    names = checkpoint_files.weights(folder, step)
    if names is None:
        raise not_found("checkpoint of step", f"{step}", "GET …/checkpoints lists those there are.")
    return FileResponse(names, media_type=BLOB, filename=f"{job_id}-step-{step}.safetensors")

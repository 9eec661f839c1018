"""``/v1/jobs/{id}/export``, ``/archive`` and ``/v1/jobs/import``: what was recorded, to take away and to bring."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from server.archive import Archive, ArchiveError, pack
from server.auth import Scope, needs
from server.exports import ExportFormat, scalar_table
from server.problems import Refusal
from server.service import JobId, Service, ServiceDep
from server.store.archives import ArchiveStore, JobExists
from sm3.remote.wire import JobView

router = APIRouter(prefix="/v1/jobs", tags=["export"])
ZIP = "application/zip"
_BINARY = {"type": "string", "format": "binary"}
_EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "all scalar points, oldest first",
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "attempt,step,series,value\n0,1,loss,7.62\n0,1,lr,0.0001\n0,1,rate_p50/head.weight,0.031\n",
            },
            "application/vnd.apache.parquet": {"schema": _BINARY},
        },
    }
}
_ARCHIVED: dict[int | str, dict[str, Any]] = {
    200: {"description": "the job as one file", "content": {ZIP: {"schema": _BINARY}}}
}


@router.get(
    "/{job_id}/export",
    dependencies=[needs(Scope.VIEW)],
    responses=_EXPORTED,
    response_class=StreamingResponse,
)
def export(
    here: ServiceDep,
    job_id: JobId,
    form: Annotated[ExportFormat, Query(alias="format", description="csv or parquet")] = ExportFormat.CSV,
) -> StreamingResponse:
    """Returns every scalar point of the job, of all attempts and series, not downsampled."""
    here.jobs.get(job_id)
    table = scalar_table(here.frames.scalar_parts(job_id), form)
    return _file(table, form.media_type, f"job-{job_id}.{form.value}")


@router.get(
    "/{job_id}/archive",
    dependencies=[needs(Scope.VIEW)],
    responses=_ARCHIVED,
    response_class=StreamingResponse,
)
def archive(here: ServiceDep, job_id: JobId) -> StreamingResponse:
    """Returns the whole job as one file, which `POST /v1/jobs/import` of another instance takes.

    A zip of JSON documents (spec, transitions, manifest), every frame as safetensors, and their checksums.
    """
    record, newest = ArchiveStore(here.database).record(job_id)
    pieces = pack(record, here.frames.blobs(job_id, until=newest))
    return _file(pieces, ZIP, f"job-{record.job.id}.zip")


@router.post(
    "/import",
    status_code=201,
    dependencies=[needs(Scope.LAUNCH)],
    openapi_extra={"requestBody": {"required": True, "content": {ZIP: {"schema": _BINARY}}}},
    responses={
        409: {"description": "a job with this id is here already"},
        422: {"description": "not an archive: nothing was stored"},
    },
)
async def import_job(
    here: ServiceDep,
    request: Request,
    response: Response,
    new_id: Annotated[bool, Query(description="give the job a new id: import a copy")] = False,
) -> JobView:
    """Stores a job that was packed by `GET …/archive`, with its id; all of it or nothing.

    It is shown and can be compared like any other, and never runs: one that had not ended counts as cancelled.
    """
    try:
        with tempfile.TemporaryFile(dir=here.settings.data_dir) as file:
            async for piece in request.stream():
                await run_in_threadpool(file.write, piece)
            job = await run_in_threadpool(_restore, here, file, new_id=new_id)
    except ArchiveError as error:
        raise Refusal(
            422,
            "invalid-archive",
            "Not a job archive",
            f"Nothing was stored: {error}. Send a file that GET /v1/jobs/{{id}}/archive gave.",
        ) from error
    except JobExists as error:
        raise Refusal(409, "job-exists", "The job is here already", f"{error}.") from error
    except OSError as error:
        detail = f"The archive could not be kept while it was checked: {error}. Nothing was stored. Free some space."
        raise Refusal(507, "disk-full", "No room for the archive", detail) from error
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return await here.changed(job)


def _restore(here: Service, file: BinaryIO, *, new_id: bool) -> JobView:
    return ArchiveStore(here.database).restore(Archive(file), new_id=new_id)


def _file(pieces: Iterator[bytes], media_type: str, name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(pieces, media_type=media_type, headers=headers)

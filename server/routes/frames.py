"""``/v1/jobs/{id}/frames``, ``/metrics`` and ``/tensors``: what was recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy.typing as npt
from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from server.auth import Scope, needs
from server.problems import Refusal, not_found
from server.service import JobId, ServiceDep
from server.store.chunks import is_job_wide
from server.thinning import kept
from sm3.remote.frames import FrameError, of_tensor, read_header
from sm3.remote.wire import FramePage, Metrics, Series, TensorList

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["recorded"])
BLOB = "application/vnd.safetensors"
_BINARY = {"type": "string", "format": "binary"}
_BLOB_RESPONSE: dict[int | str, dict[str, Any]] = {200: {"content": {BLOB: {"schema": _BINARY}}}}
Number = Annotated[int, Path(ge=0, lt=2**31)]
Seq = Annotated[int, Path(ge=0, lt=2**62)]


@router.put(
    "/frames/{attempt}/{seq}",
    dependencies=[needs(Scope.ADMIN, or_worker=True)],
    tags=["worker"],
    status_code=201,
    response_class=Response,
    responses={200: {"description": "the frame was there before"}},
    openapi_extra={"requestBody": {"required": True, "content": {BLOB: {"schema": _BINARY}}}},
)
async def put_frame(here: ServiceDep, job_id: JobId, attempt: Number, seq: Seq, request: Request) -> Response:
    """Stores one frame and answers when it is on disk; sending one twice changes nothing (200 instead of 201)."""
    blob = await request.body()
    header = read_header(blob)
    if (header.job, header.attempt, header.seq) != (job_id, attempt, seq):
        raise FrameError(
            f"the frame says job {header.job[:64]!r}, attempt {header.attempt}, seq {header.seq}; its address "
            f"says {job_id!r}, {attempt}, {seq}"
        )
    stored = await run_in_threadpool(here.frames.add, job_id, blob)
    if stored.is_new:
        here.hub.publish(job_id, stored)
    return Response(status_code=201 if stored.is_new else 200)


@router.get("/frames", dependencies=[needs(Scope.VIEW)])
def list_frames(
    here: ServiceDep,
    job_id: JobId,
    after: Annotated[
        str | None, Query(pattern=r"^\d{1,9}:\d{1,18}$", description="cursor: `next` of the page before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> FramePage:
    """Lists the stored frames, oldest first."""
    here.jobs.get(job_id)
    attempt, seq = map(int, after.split(":")) if after else (-1, -1)
    items, more = here.frames.page(job_id, after=(attempt, seq), limit=limit)
    return FramePage(items=items, next=f"{items[-1].attempt}:{items[-1].seq}" if more else None)


@router.get(
    "/frames/latest", dependencies=[needs(Scope.VIEW)], responses=_BLOB_RESPONSE, response_class=Response
)
def latest_frame(here: ServiceDep, job_id: JobId) -> Response:
    """Returns the newest frame: a safetensors blob."""
    here.jobs.get(job_id)
    blob = here.frames.newest(job_id)
    if blob is None:
        raise not_found("frame of job", job_id, "It has recorded nothing yet.")
    return Response(blob, media_type=BLOB)


@router.get("/frames/at", dependencies=[needs(Scope.VIEW)], responses=_BLOB_RESPONSE, response_class=Response)
def frame_at(
    here: ServiceDep,
    job_id: JobId,
    step: Annotated[int, Query(ge=0, lt=2**62, description="steps done")],
    tensor: Annotated[
        str | None,
        Query(max_length=480, description="only arrays of this one and its shadows; none: all, and scalars"),
    ] = None,
) -> Response:
    """Returns the newest frame of at most ``step`` steps, or the first where all are of more: a safetensors blob."""
    here.jobs.get(job_id)
    blob = here.frames.at_step(job_id, step)
    if blob is None:
        raise not_found("frame of job", job_id, "It has recorded nothing yet.")
    return Response(blob if tensor is None else of_tensor(blob, tensor), media_type=BLOB)


@router.get(
    "/frames/{attempt}/{seq}",
    dependencies=[needs(Scope.VIEW)],
    responses=_BLOB_RESPONSE,
    response_class=Response,
)
def get_frame(here: ServiceDep, job_id: JobId, attempt: Number, seq: Seq) -> Response:
    """Returns one frame: a safetensors blob."""
    here.jobs.get(job_id)
    blob = here.frames.blob(job_id, attempt, seq)
    if blob is None:
        raise not_found("frame", f"{attempt}/{seq}", "GET …/frames lists those there are.")
    return Response(blob, media_type=BLOB, headers={"Cache-Control": "private, max-age=31536000, immutable"})


@router.get("/tensors", dependencies=[needs(Scope.VIEW)])
def tensors(here: ServiceDep, job_id: JobId) -> TensorList:
    """Lists the model's tensors and what the optimizer keeps for each; empty before the first step."""
    found = here.jobs.manifest(job_id)
    return TensorList(items=found.tensors, advice=found.advice) if found else TensorList(items=())


@router.get("/metrics", dependencies=[needs(Scope.VIEW)])
def metrics(
    here: ServiceDep,
    job_id: JobId,
    name: Annotated[list[str] | None, Query(max_length=64, description="series; none: all job-wide")] = None,
    max_points: Annotated[int, Query(ge=3, le=1_000_000, description="more are downsampled")] = 2000,
) -> Metrics:
    """Returns scalar series, downsampled by MinMax-LTTB where they are longer than ``max_points``."""
    here.jobs.get(job_id)
    job_wide = here.frames.history(job_id, job_wide=True)
    available = tuple(dict.fromkeys((*job_wide.names, *here.frames.newest_series(job_id))))
    wanted: Sequence[str] = job_wide.names if name is None else tuple(dict.fromkeys(name))
    unknown = [n for n in wanted if n not in available]
    if unknown:
        raise Refusal(
            404,
            "unknown-series",
            "No such series",
            f"{', '.join(map(repr, unknown[:5]))} not recorded; GET …/metrics lists `available` ones.",
        )
    series: dict[str, Series] = {}
    tensors = dict.fromkeys(n.partition("/")[2] for n in wanted if not is_job_wide(n))
    histories = (job_wide, *(here.frames.tensor_history(job_id, tensor) for tensor in tensors))
    for scalars in histories:
        chosen = scalars.select(wanted)
        series |= {n: _series(s, v, max_points) for n, (s, v) in chosen.by_series().items()}
    thinned = any(s.num_points > len(s.steps) for s in series.values())
    return Metrics(series=series, available=available, downsampling="minmax-lttb" if thinned else "none")


def _series(steps: npt.NDArray[Any], values: npt.NDArray[Any], max_points: int) -> Series:
    num_points = len(steps)
    if num_points > max_points:
        places = kept(steps, values, max_points)
        steps, values = steps[places], values[places]
    listed = tuple(v if math.isfinite(v) else None for v in values.tolist())
    return Series(steps=tuple(steps.tolist()), values=listed, num_points=num_points)

"""``/healthz`` and ``/readyz``."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from server.service import ServiceDep

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """The store answers; how many jobs are in each state, how many viewers watch, how many slots there are."""

    status: Literal["ok"] = "ok"
    jobs: dict[str, int]
    viewers: int
    slots: int


@router.get("/healthz")
async def healthz() -> Health:
    """Tells that the process is up."""
    return Health()


@router.get("/readyz")
async def readyz(here: ServiceDep) -> Ready:
    """Tells that the store can be read."""
    counts = await run_in_threadpool(here.jobs.count_by_state)
    return Ready(
        jobs={state.value: count for state, count in counts.items()},
        viewers=here.hub.num_viewers,
        slots=here.settings.slots,
    )

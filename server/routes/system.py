"""``/v1/system``: slots, queue, machine, ingest and store, for people who look after the service."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from server.auth import Scope, needs
from server.service import ServiceDep
from sm3.remote.system_views import SystemView

router = APIRouter(tags=["operation"], dependencies=[needs(Scope.VIEW)])


@router.get("/v1/system")
async def system(here: ServiceDep) -> SystemView:
    """Tells who trains and who waits, how busy the machine is, what comes in and what is stored.

    Rates are over the last ten seconds, or since somebody asked last. No path and no secret is told.
    """
    return await run_in_threadpool(here.system.look, await here.readiness.checks())

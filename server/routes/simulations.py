"""``/v1/simulations`` and ``/v1/schedules``: SM3 on paper. Nothing is stored."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response
from starlette.concurrency import run_in_threadpool

from server.auth import Scope, needs
from server.problems import invalid
from server.service import ServiceDep
from server.simulated import faults
from server.simulation_examples import SCHEDULE_EXAMPLES, SIMULATION_EXAMPLES
from server.worker import simulating
from sm3.remote.simulation_specs import ScheduleSpec, SimulationSpec
from sm3.remote.simulation_views import ScheduleAnswer, SimulationAnswer

router = APIRouter(prefix="/v1", tags=["simulations"], dependencies=[needs(Scope.VIEW)])


@router.post("/simulations", response_model=SimulationAnswer)
async def simulations(
    here: ServiceDep, spec: Annotated[SimulationSpec, Body(openapi_examples=SIMULATION_EXAMPLES)]
) -> Response:
    """Tells what SM3 does with a few gradients under up to eight covers: min, add, max, number by number.

    Beside each cover: AdaGrad's exact sums, how loose its bound is, and Adafactor's rank-1 estimate of a matrix. The
    first question waits some seconds until torch is loaded.
    """
    found = await run_in_threadpool(lambda: tuple(faults(spec)))
    if found:
        raise invalid(found)
    return _json(await here.torch.run(simulating.simulate, spec))


@router.post("/schedules", response_model=ScheduleAnswer)
async def schedules(
    here: ServiceDep, spec: Annotated[ScheduleSpec, Body(openapi_examples=SCHEDULE_EXAMPLES)]
) -> Response:
    """Tells a schedule's learning rate at each step, and for contrast the formula that circulates upside down."""
    return _json(await here.torch.run(simulating.schedule, spec))


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")

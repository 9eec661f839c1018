"""The part of `sm3.remote.client.Client` that tries covers on a few gradients."""

from __future__ import annotations

import httpx

from sm3.remote.simulation_specs import ScheduleSpec, SimulationSpec
from sm3.remote.simulation_views import ScheduleAnswer, SimulationAnswer
from sm3.remote.transport import JSON, Transport

PATIENCE_S = 40.0
"""The first simulation waits until the service has loaded torch in a process of its own."""


class SimulationCalls(Transport):
    """Tries covers and schedules on paper."""

    def simulate(self, spec: SimulationSpec) -> SimulationAnswer:
        """Returns what SM3 does with the gradients under each cover, number by number; nothing is stored."""
        return self._read(self._patient("/v1/simulations", spec.model_dump_json()), SimulationAnswer)

    def schedule(self, spec: ScheduleSpec) -> ScheduleAnswer:
        """Returns a schedule's learning rate at each step; nothing is stored."""
        return self._read(self._patient("/v1/schedules", spec.model_dump_json()), ScheduleAnswer)

    def _patient(self, path: str, content: str) -> httpx.Response:
        return self._request("POST", path, content=content, headers=JSON, timeout=PATIENCE_S)

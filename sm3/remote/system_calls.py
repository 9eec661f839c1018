"""The part of `sm3.remote.client.Client` that asks how the service is."""

from __future__ import annotations

from sm3.remote.system_views import SystemView
from sm3.remote.transport import Transport


class SystemCalls(Transport):
    """Asks how the service is."""

    def system(self) -> SystemView:
        """Returns slots, queue, machine, ingest and store as they are now."""
        return self._get("/v1/system", SystemView)

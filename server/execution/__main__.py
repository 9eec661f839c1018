"""``python -m server.execution``: the supervisor and its workers without the API.

For a deployment where the API runs elsewhere with ``SM3_SLOTS=0`` on the same store and data folder. It touches
``supervisor.alive`` in the data folder with every round, for health checks.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from server.execution.local import LocalExecutor
from server.execution.sealing import sealing_beside
from server.execution.supervisor import AlreadySupervised, Supervisor, exclusive
from server.operation import logs
from server.service import Service
from server.startup import CannotStart, open_service, read_settings, warn_of_unknown_variables


async def supervise(service: Service) -> None:
    """Supervises until SIGINT or SIGTERM."""
    supervisor = Supervisor(service, LocalExecutor.from_settings(service.settings))
    service.kick = supervisor.kick
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, service.stop)
    running = asyncio.create_task(supervisor.run())
    async with sealing_beside(service):
        await service.stopping.wait()
        await supervisor.stop(running)


def main() -> int:
    """Runs the supervisor; returns the exit status."""
    try:
        settings = read_settings()
        logs.configure(settings)
        warn_of_unknown_variables()
        if settings.slots == 0:
            raise CannotStart("SM3_SLOTS=0 leaves nothing to do; set it to at least 1.")
        service = open_service(settings)
        with exclusive(settings.data_dir):
            asyncio.run(supervise(service))
    except (CannotStart, AlreadySupervised) as error:
        print(f"sm3: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet
        return 2
    service.database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

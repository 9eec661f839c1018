"""``python -m server.execution``: the supervisor and its workers without the API.

For a deployment where the API runs elsewhere with ``SM3_SLOTS=0`` on the same store and data folder. Exactly one
process with slots may work on a store.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time

from sqlalchemy.exc import SQLAlchemyError

from server.execution.local import LocalExecutor
from server.execution.supervisor import ALIVE_FILE, Supervisor
from server.service import Service
from server.settings import Settings

_STALE_S = 10.0


async def supervise(service: Service) -> None:
    """Supervises until SIGINT or SIGTERM."""
    supervisor = Supervisor(service, LocalExecutor.from_settings(service.settings))
    service.kick = supervisor.kick
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, service.stop)
    running = asyncio.create_task(supervisor.run())
    await service.stopping.wait()
    await supervisor.stop(running)


def is_alive(settings: Settings) -> bool:
    """Whether a supervisor has finished a round of late."""
    try:
        return time.time() - (settings.data_dir / ALIVE_FILE).stat().st_mtime < _STALE_S
    except OSError:
        return False


def main() -> int:
    """Runs the supervisor, or with ``--check`` tells by the exit status whether one is well."""
    parser = argparse.ArgumentParser(prog="python -m server.execution", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 0 if the supervisor is well, 1 if not")
    settings = Settings()
    if parser.parse_args().check:
        return 0 if is_alive(settings) else 1
    if settings.slots == 0:
        print("sm3: SM3_SLOTS=0 leaves nothing to do; set it to at least 1.", file=sys.stderr)  # noqa: T201
        return 2
    try:
        service = Service.open(settings)
    except (OSError, SQLAlchemyError) as error:
        print(f"sm3: the store cannot be opened: {error}", file=sys.stderr)  # noqa: T201
        return 2
    asyncio.run(supervise(service))
    service.database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

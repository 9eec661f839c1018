"""``python -m server``: the service as a process."""

from __future__ import annotations

import logging
import sys
from types import FrameType

import structlog
import uvicorn
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from server.app import create_app
from server.problems import faults
from server.service import Service
from server.settings import Settings
from sm3.remote.wire import FieldFault


class Server(uvicorn.Server):
    """Tells open streams to end as soon as a signal arrives, so that stopping does not wait for them."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles SIGINT and SIGTERM."""
        self._service.stop()
        super().handle_exit(sig, frame)


def main() -> int:
    """Runs the service until SIGINT or SIGTERM; returns the exit status."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        settings = Settings()
    except ValidationError as error:
        return _refuse("; ".join(map(_setting, faults(error.errors()))))
    try:
        service = Service.open(settings)
    except (OSError, SQLAlchemyError) as error:
        reason = getattr(error, "orig", None) or error
        return _refuse(
            f"the store in {settings.data_dir} cannot be opened: {reason}. Make room or rights, or set SM3_DATA_DIR "
            "(or SM3_DATABASE_URL) to another place."
        )
    app = create_app(service)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=1,
        ws_max_size=2**20,
        server_header=False,
    )
    server = Server(config, service)
    server.run()
    return 0 if server.started else 1


def _setting(fault: FieldFault) -> str:
    if fault.field == "body":  # about several settings together: the text says which
        return fault.allowed
    return f"SM3_{fault.field.upper()}: given {fault.given!r}; allowed: {fault.allowed}"


def _refuse(why: str) -> int:
    print(f"sm3: {why}", file=sys.stderr)  # noqa: T201 - there is no log yet
    return 2


if __name__ == "__main__":
    sys.exit(main())

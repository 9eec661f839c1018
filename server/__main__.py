"""``python -m server``: the service as a process."""

from __future__ import annotations

import logging
import sys
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from server.app import create_app
from server.service import Service
from server.settings import Settings, SettingsError


class Server(uvicorn.Server):
    """Tells open streams to end as soon as a signal arrives, so that stopping does not wait for them."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles SIGINT and SIGTERM."""
        service: Service | None = getattr(self._app.state, "service", None)
        if service is not None:
            service.stop()
        super().handle_exit(sig, frame)


def main() -> int:
    """Runs the service until SIGINT or SIGTERM; returns the exit status."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        settings = Settings()
        app = create_app(settings)
    except (ValidationError, SettingsError) as error:
        print(f"sm3: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet
        return 2
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=1,
        ws_max_size=2**20,
        server_header=False,
    )
    server = Server(config, app)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())

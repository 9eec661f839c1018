"""``python -m server``: the service as a process."""

from __future__ import annotations

import logging
import sys
from contextlib import nullcontext
from types import FrameType

import structlog
import uvicorn

from server.app import create_app
from server.execution.supervisor import AlreadySupervised, exclusive
from server.service import Service
from server.settings import Settings
from server.startup import CannotStart, open_service, read_settings
from server.wire_protocol import GuardedHttp, NoTracebackForGarbage

_MAX_CONNECTIONS = 4096


class Server(uvicorn.Server):
    """Tells open streams to end as soon as a signal arrives, so that stopping does not wait for them."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles SIGINT and SIGTERM."""
        self._service.stop()
        super().handle_exit(sig, frame)


def serve(settings: Settings) -> bool:
    """Serves until SIGINT or SIGTERM; False if the port could not be listened on.

    Raises:
        CannotStart: the store cannot be opened.
        AlreadySupervised: another service works on the same data folder.
    """
    service = open_service(settings)
    with exclusive(settings.data_dir) if settings.slots else nullcontext():
        config = uvicorn.Config(
            create_app(service),
            host=settings.host,
            port=settings.port,
            log_level="warning",
            timeout_graceful_shutdown=1,
            ws_max_size=2**16,  # a viewer sends the name of a tensor
            server_header=False,
            access_log=False,  # tickets stand in the address of a WebSocket
            http=GuardedHttp,
            h11_max_incomplete_event_size=2**14,
            limit_concurrency=_MAX_CONNECTIONS,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
        )
        logging.getLogger("uvicorn.error").addFilter(NoTracebackForGarbage())
        server = Server(config, service)
        server.run()
    return server.started


def main() -> int:
    """Runs the service; returns the exit status."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        return 0 if serve(read_settings()) else 1
    except (CannotStart, AlreadySupervised) as error:
        print(f"sm3: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet
        return 2


if __name__ == "__main__":
    sys.exit(main())

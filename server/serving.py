"""The service as a process: settings, signals, and uvicorn until it is asked to stop."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import nullcontext
from types import FrameType

import uvicorn

from server.app import create_app
from server.connections import MAX_MESSAGE_BYTES, allow_connections, protocols
from server.execution.supervisor import AlreadySupervised, exclusive
from server.operation import logs
from server.service import Service
from server.settings import Settings
from server.startup import CannotStart, open_service, read_settings, warn_of_unknown_variables
from server.wire_protocol import NoTracebackForGarbage

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
        allow_connections()
        http, websocket = protocols(settings.viewer_stall_s)
        config = uvicorn.Config(
            create_app(service),
            host=settings.host,
            port=settings.port,
            log_config=None,  # its lines go where ours go: server.operation.logs
            access_log=False,  # tickets stand in the address of a WebSocket
            http=http,
            ws=websocket,
            timeout_graceful_shutdown=1,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,  # arrays hardly shrink, and each viewer would shrink them anew
            server_header=False,
            h11_max_incomplete_event_size=2**14,
            limit_concurrency=_MAX_CONNECTIONS,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
        )
        logging.getLogger("uvicorn.error").addFilter(NoTracebackForGarbage())
        server = Server(config, service)
        for sig in (signal.SIGINT, signal.SIGTERM):
            # uvicorn sends itself the signal again once it has stopped, to die of it; to stop when asked is success.
            signal.signal(sig, _stopped_already)
        server.run()
    return server.started


def _stopped_already(_: int, __: FrameType | None) -> None:
    """Takes the signal that uvicorn has acted upon."""


def main() -> int:
    """Runs the service; returns the exit status: 0 also when it was asked to stop."""
    try:
        settings = read_settings()
        logs.configure(settings)
        warn_of_unknown_variables()
        return 0 if serve(settings) else 1
    except (CannotStart, AlreadySupervised) as error:
        print(f"sm3: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet
        return 2

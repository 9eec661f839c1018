"""What every route works with: the store, the hub, tickets and settings, as one value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Path
from starlette.requests import HTTPConnection

from server.access import Access
from server.hub import Hub
from server.problems import Refusal, not_found
from server.settings import Settings
from server.store import (
    ComparisonStore,
    Database,
    FrameStore,
    JobStore,
    TokenStore,
    UnknownComparison,
    UnknownJob,
    UnknownToken,
)
from server.tickets import Tickets
from sm3.remote.wire import JobView


@dataclass
class Service:
    """The parts of a running service.

    ``kick`` wakes the supervisor: there may be something to start or to stop.
    """

    settings: Settings
    database: Database
    jobs: JobStore
    frames: FrameStore
    comparisons: ComparisonStore
    access: Access
    hub: Hub = field(default_factory=Hub)
    tickets: Tickets = field(default_factory=Tickets)
    kick: Callable[[], None] = lambda: None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def open(cls, settings: Settings) -> Service:
        """Opens the store (brings its schema up to date) and makes the token where there is none."""
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.jobs_dir.mkdir(exist_ok=True, mode=0o700)
        database = Database(settings.store_url)
        return cls(
            settings,
            database,
            JobStore(database),
            FrameStore(database),
            ComparisonStore(database),
            Access.from_settings(settings, TokenStore(database)),
        )

    async def changed(self, job: JobView) -> JobView:
        """Tells viewers and the supervisor that ``job`` changed; returns it."""
        self.hub.publish(job.id, job)
        self.kick()
        return job

    def stop(self) -> None:
        """Tells the supervisor and every open stream to end."""
        self.stopping.set()
        self.hub.wake()
        self.kick()


def service(connection: HTTPConnection) -> Service:
    """Returns the running service."""
    found: Service = connection.app.state.service
    return found


ServiceDep = Annotated[Service, Depends(service)]
ComparisonId = Annotated[
    str, Path(min_length=1, max_length=64, description="a comparison's id, as POST /v1/comparisons gave it")
]
JobId = Annotated[str, Path(min_length=1, max_length=64, description="a job's id, as POST /v1/jobs gave it")]


def unknown_job(error: UnknownJob) -> Refusal:
    """Returns the 404 for a job that is not there."""
    return not_found("job", error.job_id, "GET /v1/jobs lists those there are.")


def unknown_comparison(error: UnknownComparison) -> Refusal:
    """Returns the 404 for a comparison that is not there."""
    return not_found("comparison", error.comparison_id, "GET /v1/comparisons lists those there are.")


def unknown_token(error: UnknownToken) -> Refusal:
    """Returns the 404 for a token that is not there."""
    return not_found("token", error.token_id, "GET /v1/tokens lists those there are.")

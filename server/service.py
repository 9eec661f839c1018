"""What every route works with: the store, the hub, tickets and settings, as one value."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from fastapi import Path as PathParameter
from starlette.requests import HTTPConnection

from server import checkpoint_files
from server.access import Access
from server.home import home_id
from server.hub import Hub
from server.operation.measures import Measures
from server.operation.present import Present
from server.operation.readiness import Readiness
from server.operation.system import System
from server.operation.transitions import count_transitions
from server.problems import Refusal, not_found
from server.settings import Settings
from server.store import (
    ComparisonStore,
    Database,
    FrameStore,
    JobStore,
    Segments,
    TokenStore,
    UnknownComparison,
    UnknownJob,
    UnknownToken,
)
from server.tickets import Tickets
from server.torch_process import TorchProcess
from sm3.remote.wire import JobView


@dataclass
class Service:
    """The parts of a running service.

    ``kick`` wakes the supervisor: there may be something to start or to stop; ``supervised_s`` is when it last
    finished a round here, in monotonic seconds. ``worker_memory_bytes`` tells the resident set of a
    job's worker (by id and attempt), 0 where it cannot be seen from here.
    """

    settings: Settings
    database: Database
    jobs: JobStore
    frames: FrameStore
    comparisons: ComparisonStore
    segments: Segments
    access: Access
    home: str
    hub: Hub = field(default_factory=Hub)
    tickets: Tickets = field(default_factory=Tickets)
    measures: Measures = field(default_factory=Measures)
    torch: TorchProcess = field(default_factory=TorchProcess)
    kick: Callable[[], None] = lambda: None
    supervised_s: float | None = None
    worker_memory_bytes: Callable[[str, int], int] = lambda _, __: 0
    readiness: Readiness = field(init=False)
    system: System = field(init=False)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def open(cls, settings: Settings) -> Service:
        """Opens the store (brings its schema up to date) and makes the token where there is none."""
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.jobs_dir.mkdir(exist_ok=True, mode=0o700)
        database = Database(settings.store_url)
        segments = Segments(settings.data_dir / "segments", settings.segments_url)
        return cls(
            settings,
            database,
            JobStore(database, max_queued=settings.max_queued),
            FrameStore(database, segments),
            ComparisonStore(database, max_queued=settings.max_queued),
            segments,
            Access.from_settings(settings, TokenStore(database)),
            home_id(settings.data_dir),
            hub=Hub(settings.max_viewers, settings.max_viewers_per_job),
        )

    def __post_init__(self) -> None:
        self.readiness = Readiness(self)
        self.system = System(self)
        count_transitions(self.database, self.measures)
        self.measures.registry.register(Present(self.settings, self.database, self.jobs, self.hub))

    async def changed(self, job: JobView) -> JobView:
        """Tells viewers and the supervisor that ``job`` changed; returns it."""
        self.hub.publish(job.id, job)
        self.kick()
        return job

    def checkpoints_dir(self, job_id: str) -> Path:
        """Returns the folder of a job's checkpoints."""
        return self.settings.jobs_dir / job_id / checkpoint_files.FOLDER

    def delete_job(self, job_id: str) -> None:
        """Removes a job that has ended: what is stored of it, its log and its checkpoints.

        Raises:
            UnknownJob: no such job.
            NotEnded: it has not ended; nothing was removed.
        """
        self.jobs.delete(job_id)
        shutil.rmtree(self.settings.jobs_dir / job_id, ignore_errors=True)

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
    str,
    PathParameter(
        min_length=1, max_length=64, description="a comparison's id, as POST /v1/comparisons gave it"
    ),
]
JobId = Annotated[
    str, PathParameter(min_length=1, max_length=64, description="a job's id, as POST /v1/jobs gave it")
]


def unknown_job(error: UnknownJob) -> Refusal:
    """Returns the 404 for a job that is not there."""
    return not_found("job", error.job_id, "GET /v1/jobs lists those there are.")


def unknown_comparison(error: UnknownComparison) -> Refusal:
    """Returns the 404 for a comparison that is not there."""
    return not_found("comparison", error.comparison_id, "GET /v1/comparisons lists those there are.")


def unknown_token(error: UnknownToken) -> Refusal:
    """Returns the 404 for a token that is not there."""
    return not_found("token", error.token_id, "GET /v1/tokens lists those there are.")

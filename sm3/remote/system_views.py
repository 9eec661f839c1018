"""What the service answers about itself and its machine: slots, queue, ingest, store. No path, no secret."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from sm3.remote.health_views import Check
from sm3.remote.wire import JobState, View


class Supervision(StrEnum):
    """Who starts and watches workers."""

    HERE = "here"
    ELSEWHERE = "elsewhere"


class WorkingJob(View):
    """A job that has a worker."""

    id: str
    name: str = Field(description="recipe, size and optimizer")
    state: JobState
    attempt: int
    step: int
    steps: int
    since: datetime = Field(description="when it entered this state")
    device: str = Field("", description="what its worker trains on; '' before its first step")
    memory_bytes: int | None = Field(
        None, description="the worker's resident set; null where its process cannot be seen from here"
    )
    frames_dropped: int = Field(0, description="frames whose arrays its worker had to drop")


class WaitingJob(View):
    """A job in the queue."""

    position: int = Field(description="1 is started next")
    id: str
    name: str
    priority: int
    since: datetime = Field(description="when it was queued, the last time")


class MachineView(View):
    """The machine that the service runs on."""

    num_cpus: int
    cpu_share: float | None = Field(description="of all its cores, 0 to 1, over `ingest.window_s`")
    memory_used_bytes: int
    memory_total_bytes: int
    disk_free_bytes: int = Field(description="of the data folder's disk")
    disk_total_bytes: int


class GpuView(View):
    """One GPU of the machine, as its driver tells."""

    name: str
    used_share: float | None
    memory_used_bytes: int
    memory_total_bytes: int


class ProcessView(View):
    """The service's own process."""

    cpu_share: float | None = Field(description="of one core, over `ingest.window_s`")
    memory_bytes: int
    viewers: int = Field(description="open streams and live views")


class IngestView(View):
    """What came in, counted by this process since its start; rates are over the last `window_s` seconds."""

    window_s: float
    frames_per_s: float
    bytes_per_s: float
    frames: int = Field(description="new frames acknowledged")
    repeats: int = Field(description="frames that were there before")
    bytes: int = Field(description="of new frames")
    refused: dict[str, int] = Field(description="frames not taken, by the slug of the problem")
    gaps: int = Field(description="times a viewer was told that it missed frames")
    dropped: int = Field(description="frames whose arrays the workers that are at work now had to drop")


class StoreView(View):
    """What is stored."""

    backend: str
    database_bytes: int
    segments_bytes: int = Field(description="of sealed frames, beside the database")
    jobs: dict[JobState, int]
    frames: int


class SystemView(View):
    """The service at a glance."""

    version: str
    at: datetime
    started_at: datetime
    uptime_s: float
    supervision: Supervision
    slots: int = Field(description="jobs that may train at once here; 0: another process decides")
    working: tuple[WorkingJob, ...]
    waiting: tuple[WaitingJob, ...] = Field(description="the first of the queue")
    num_waiting: int
    machine: MachineView
    gpus: tuple[GpuView, ...] | None = Field(description="null where no driver tells")
    process: ProcessView
    ingest: IngestView
    store: StoreView
    checks: tuple[Check, ...]

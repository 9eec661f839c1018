"""The service at a glance, for people: store, executor, counters and machine put side by side."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import psutil

from server.operation.gpus import gpus
from server.operation.measures import count
from server.operation.meter import Meter, Rates, Reading, processor_seconds
from server.operation.present import store_bytes
from server.store.occupancy import Occupancy, Since, occupancy
from sm3.remote.health_views import Check
from sm3.remote.system_views import (
    GpuView,
    IngestView,
    MachineView,
    ProcessView,
    StoreView,
    Supervision,
    SystemView,
    WaitingJob,
    WorkingJob,
)

if TYPE_CHECKING:
    from server.service import Service

MAX_WAITING = 50
_GPUS_KEPT_S = 2.0


@dataclass
class System:
    """What is the case, and a few readings of what was.

    Args:
        service: what is looked at.
    """

    service: Service
    started_s: float = field(default_factory=time.time)
    _began_s: float = field(default_factory=time.monotonic)
    _gpus: tuple[GpuView, ...] | None = None
    _gpus_at_s: float = float("-inf")
    _asks_driver: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._meter = Meter(self._reading)

    def look(self, checks: tuple[Check, ...]) -> SystemView:
        """Returns everything as it is now; reads the store, so not for the event loop."""
        here, rates = self.service, self._meter.rates()
        found = occupancy(here.database, max_waiting=MAX_WAITING)
        working = tuple(self._working(each) for each in found.working)
        return SystemView(
            version=version("sm3-scope"),
            at=datetime.now(UTC),
            started_at=datetime.fromtimestamp(self.started_s, UTC),
            uptime_s=time.monotonic() - self._began_s,
            supervision=Supervision.HERE if here.settings.slots else Supervision.ELSEWHERE,
            slots=here.settings.slots,
            working=working,
            waiting=tuple(_waiting(k, each) for k, each in enumerate(found.waiting, 1)),
            num_waiting=sum(count for state, count in found.jobs.items() if state.value == "queued"),
            machine=self._machine(rates),
            gpus=self._look_at_gpus(),
            process=ProcessView(
                cpu_share=rates.own_cores,
                memory_bytes=psutil.Process().memory_info().rss,
                viewers=here.hub.num_viewers,
            ),
            ingest=self._ingest(rates, sum(job.frames_dropped for job in working)),
            store=self._store(found),
            checks=checks,
        )

    def _reading(self) -> Reading:
        measures = self.service.measures
        busy_s, own_s = processor_seconds()
        frames, num_bytes = count(measures.frames, result="new"), count(measures.frame_bytes)
        return Reading(time.monotonic(), frames, num_bytes, busy_s, own_s)

    def _working(self, since: Since) -> WorkingJob:
        job = since.job
        return WorkingJob(
            id=job.id,
            name=_name(since),
            state=job.state,
            attempt=job.attempt,
            step=job.progress.step,
            steps=job.progress.steps,
            since=datetime.fromtimestamp(since.at_s, UTC),
            device=job.device,
            memory_bytes=self.service.worker_memory_bytes(job.id, job.attempt) or None,
            frames_dropped=job.progress.frames_dropped,
        )

    def _machine(self, rates: Rates) -> MachineView:
        memory, disk = psutil.virtual_memory(), shutil.disk_usage(self.service.settings.data_dir)
        num_cpus = psutil.cpu_count() or 1
        return MachineView(
            num_cpus=num_cpus,
            cpu_share=min(1.0, rates.busy_cores / num_cpus),
            memory_used_bytes=memory.total - memory.available,
            memory_total_bytes=memory.total,
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
        )

    def _look_at_gpus(self) -> tuple[GpuView, ...] | None:
        """Asks the driver, one thread at a time: a wedged GPU holds up that one alone, others get the last answer."""
        is_due = time.monotonic() - self._gpus_at_s >= _GPUS_KEPT_S
        if is_due and self._asks_driver.acquire(blocking=False):
            try:
                self._gpus, self._gpus_at_s = gpus(), time.monotonic()
            finally:
                self._asks_driver.release()
        return self._gpus

    def _ingest(self, rates: Rates, dropped: int) -> IngestView:
        measures = self.service.measures
        refused = {
            sample.labels["reason"]: int(sample.value)
            for metric in measures.frames_refused.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }
        return IngestView(
            window_s=rates.window_s,
            frames_per_s=rates.frames_per_s,
            bytes_per_s=rates.bytes_per_s,
            frames=int(count(measures.frames, result="new")),
            repeats=int(count(measures.frames, result="repeat")),
            bytes=int(count(measures.frame_bytes)),
            refused=refused,
            gaps=int(count(measures.gaps)),
            dropped=dropped,
        )

    def _store(self, found: Occupancy) -> StoreView:
        database = self.service.database
        return StoreView(
            backend=database.engine.dialect.name,
            database_bytes=store_bytes(database),
            segments_bytes=found.segments_bytes,
            jobs=found.jobs,
            frames=found.num_frames,
        )


def _name(since: Since) -> str:
    spec = since.job.spec
    return f"{spec.recipe.name} {spec.recipe.size} · {spec.optimizer.name}"


def _waiting(position: int, since: Since) -> WaitingJob:
    return WaitingJob(
        position=position,
        id=since.job.id,
        name=_name(since),
        priority=since.job.priority,
        since=datetime.fromtimestamp(since.at_s, UTC),
    )

"""What is the case in the service, read for Prometheus when it asks."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select, text

from server.hub import Hub
from server.lifecycle import HAVE_WORKER
from server.settings import Settings
from server.store import Database, JobStore
from server.store.tables import JobRow, TransitionRow
from sm3.remote.wire import JobState


@dataclass(frozen=True, eq=False)
class Present(Collector):
    """Reads store and hub at each scrape: a few queries of counts, none of which reads a frame.

    Args:
        settings: slots, and where the store is.
        database: the store's connection.
        jobs: the jobs in it.
        hub: the viewers.
        now: Unix time in seconds.
    """

    settings: Settings
    database: Database
    jobs: JobStore
    hub: Hub
    now: Callable[[], float] = time.time

    def collect(self) -> Iterable[Metric]:
        """Yields one family a fact."""
        build = {"version": version("sm3-scope"), "python": platform.python_version()}
        yield InfoMetricFamily("sm3_build", "which build serves", build | {"store": self._backend})
        counts = self.jobs.count_by_state()
        jobs = GaugeMetricFamily("sm3_jobs", "jobs, by state", labels=["state"])
        for state in JobState:
            jobs.add_metric([state.value], counts.get(state, 0))
        yield jobs
        busy = sum(counts.get(state, 0) for state in HAVE_WORKER)
        yield _gauge("sm3_queue_length", "jobs that wait for a slot", counts.get(JobState.QUEUED, 0))
        yield _gauge(
            "sm3_queue_oldest_wait_seconds", "how long the first in the queue waits", self._waits_s()
        )
        yield _gauge("sm3_slots", "jobs that may train at once; 0: supervised elsewhere", self.settings.slots)
        yield _gauge("sm3_slots_used", "jobs that have a worker", busy)
        yield _gauge("sm3_viewers", "open streams and live views", self.hub.num_viewers)
        yield _gauge("sm3_hub_bytes", "bytes of frames held for viewers", self.hub.held_bytes)
        yield _gauge("sm3_store_bytes", "size of the store", store_bytes(self.database))

    @property
    def _backend(self) -> str:
        return self.database.engine.dialect.name

    def _waits_s(self) -> float:
        """Returns how long the oldest queued job has waited, in seconds; 0 if none waits."""
        query = (
            select(func.max(TransitionRow.at_s))
            .join(JobRow, JobRow.id == TransitionRow.job_id)
            .where(JobRow.state == JobState.QUEUED, TransitionRow.state == JobState.QUEUED)
            .group_by(JobRow.id)
        )
        with self.database.read() as session:
            since = min(session.scalars(query), default=None)
        return max(0.0, self.now() - since) if since is not None else 0.0


def store_bytes(database: Database) -> int:
    """Returns the bytes of SQLite's file and log, or what PostgreSQL says of its database."""
    if database.is_sqlite:
        path = database.engine.url.database or ""
        return sum(_size(path + suffix) for suffix in ("", "-wal"))
    with database.read() as session:
        return int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value)


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0

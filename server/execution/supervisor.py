"""One loop: start what is queued, watch what runs, stop what is cancelled, adopt what an earlier service left.

The store is the only truth: each round compares it with what the executor sees. A service killed at any point
starts the same loop again and ends up in the same place. One supervisor works on a data folder at a time
(:func:`exclusive`); trouble with one job (a full disk, say) is logged and never keeps the others waiting.
"""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy.exc import OperationalError

from server.auth import digest, new_ingest_token
from server.execution.base import Ask, Executor, Launch
from server.execution.settle import Settler
from server.execution.watch import Watch
from server.hub import Item
from server.operation.readiness import ALIVE_FILE
from server.service import Service
from sm3.remote.wire import JobState, JobView

LOCK_FILE = "supervisor.lock"
STOPPED = "the service was stopped"
KEEP_LABEL = "keep"
_ROUND_S = 0.5
_CLEARING_S = 60.0
_BUSY_ROUND_S = 0.05
_EXIT_GRACE_S = 1.0
_EXIT_LIMIT_S = 1.6
_LOG = structlog.get_logger()
Changed = list[tuple[str, Item]]


class AlreadySupervised(Exception):  # noqa: N818 - reads as what it is
    """Another process supervises this data folder."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            f"another SM3 Scope service works on {data_dir} already. Stop it, or set SM3_DATA_DIR to another folder "
            "(or SM3_SLOTS=0 to serve the API alone)."
        )


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Holds the supervisor's lock on ``data_dir``. Raises `AlreadySupervised` if another process does."""
    with (data_dir / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadySupervised(data_dir) from error
        yield


@dataclass
class Supervisor:
    """Keeps the executor in step with the store.

    Args:
        service: the store, and whom to tell.
        executor: what runs workers.
        clock: monotonic seconds.
    """

    service: Service
    executor: Executor
    clock: Callable[[], float] = time.monotonic
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _cleared_at: float = float("-inf")
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._settler = Settler(self.service, self.executor)
        self._watch = Watch(self.executor, self.service.settings, self.clock)

    def kick(self) -> None:
        """Starts the next round now."""
        self._wake.set()

    async def run(self) -> None:
        """Rounds until the service stops."""
        loop = asyncio.get_running_loop()
        while not self.service.stopping.is_set():
            self._wake.clear()
            try:
                for job_id, item in await asyncio.to_thread(self.round):
                    self.service.hub.publish(job_id, item)
            except OperationalError as error:
                _LOG.error("the store does not answer", error=str(error.orig))
            except Exception:  # noqa: BLE001 - a locked store must not end supervision
                _LOG.exception("supervisor")
            handle = loop.call_later(self.pause_s, self._wake.set)
            await self._wake.wait()
            handle.cancel()

    @property
    def pause_s(self) -> float:
        """Seconds to the next round: few while a worker has been asked to stop."""
        return _BUSY_ROUND_S if self._watch.is_pressing else _ROUND_S

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Ends the loop; ends the workers too where the settings say so, otherwise they live on."""
        self.kick()
        await running
        if self.service.settings.stop_workers_on_exit:
            await asyncio.to_thread(self.stop_workers)

    def round(self) -> Changed:
        """Does one comparison of store and executor; returns what changed, by job."""
        changed: Changed = []
        watched = self.service.jobs.with_worker(self.service.home)
        self._watch.keep(watched)
        ended = 0
        for job in watched:
            try:
                settled = self._look_after(job)
            except Exception:  # noqa: BLE001 - its trouble is its own: the next round tries again
                _LOG.exception("job cannot be looked after", job=job.id)
                continue
            ended += bool(settled)
            changed += settled
        self._reap({(job.id, job.attempt) for job in watched})
        free = self.service.settings.slots - len(watched) + ended
        while free > 0 and not self.service.stopping.is_set() and (started := self._start()) is not None:
            changed.append((started.id, started))
            free -= 1
        self._clear_away()
        (self.service.settings.data_dir / ALIVE_FILE).touch()
        self.service.supervised_s = time.monotonic()
        return changed

    def _look_after(self, job: JobView) -> Changed:
        """Settles a job whose worker has ended, presses one that is to stop; returns what changed."""
        ended = self.executor.poll(job.id, job.attempt)
        if ended is not None:
            settled = self._settler.settle(job, ended, killed_for=self._watch.killed_for(job))
            self._watch.hold_back(self.service.jobs.get(job.id))
            return settled
        if job.state in {JobState.CANCELLING, JobState.PAUSING}:
            self._watch.press(job)
        else:
            self._watch.limit(job)
        return []

    def _start(self) -> JobView | None:
        """Claims the next queued job and starts its worker; None if none may start."""
        token = new_ingest_token()
        job = self.service.jobs.claim(digest(token), home=self.service.home, but=self._watch.held_back())
        if job is None:
            return None
        try:
            self.executor.submit(Launch(job.id, job.attempt, token))
        except OSError as error:
            cause = f"the worker could not be started: {error}"
            return self.service.jobs.move(job.id, JobState.CRASHED, cause)
        _LOG.info("worker started", job=job.id, attempt=job.attempt)
        return job

    def _clear_away(self) -> None:
        """Deletes, now and then, the jobs that ended longer ago than they are kept."""
        days = self.service.settings.retention_days
        if not days or self.clock() - self._cleared_at < _CLEARING_S:
            return
        self._cleared_at = self.clock()
        jobs = self.service.jobs
        for job_id in jobs.ended_before(jobs.now() - days * 86_400, keep_label=KEEP_LABEL):
            self.service.delete_job(job_id)
            _LOG.info("job deleted", job=job_id, cause=f"it ended more than {days:g} days ago")

    def _reap(self, watched: set[tuple[str, int]]) -> None:
        """Collects workers that reported their end themselves and have exited since."""
        for job_id, attempt in self._seen - watched:
            if self.executor.poll(job_id, attempt) is not None:
                self._settler.drain(job_id)
                self.executor.forget(job_id, attempt)
                self._seen.discard((job_id, attempt))
        self._seen |= watched

    def stop_workers(self) -> None:
        """Ends every worker, politely and then by force, and queues its job again; gives up after 1.6 s.

        Workers are signalled before anything is stored: a store that does not answer keeps none of them alive.
        """
        workers = set(self._seen)
        try:
            workers |= {(job.id, job.attempt) for job in self.service.jobs.with_worker(self.service.home)}
        except Exception:  # noqa: BLE001 - those that were seen are ended all the same
            _LOG.exception("the store does not tell which workers run")
        for job_id, attempt in workers:
            self.executor.stop(job_id, attempt, Ask.PAUSE)
        started = self.clock()
        while workers and (waited_s := self.clock() - started) < _EXIT_LIMIT_S:
            for job_id, attempt in sorted(workers):
                if (ended := self.executor.poll(job_id, attempt)) is not None:
                    workers.discard((job_id, attempt))
                    self._settler.settle_stopped(job_id, ended, STOPPED)
                elif waited_s > _EXIT_GRACE_S:
                    self.executor.stop(job_id, attempt, Ask.KILL)
            time.sleep(0.02)

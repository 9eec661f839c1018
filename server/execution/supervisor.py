"""One loop: start what is queued, watch what runs, stop what is cancelled, adopt what an earlier service left.

The store is the only truth: each round compares it with what the executor sees. A service killed at any point
starts the same loop again and ends up in the same place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from server.auth import digest, new_ingest_token
from server.execution.base import Ended, Executor, Launch
from server.lifecycle import IllegalMove
from server.service import Service
from sm3.remote.frames import FrameError
from sm3.remote.spool import Spool
from sm3.remote.wire import JobState, JobView, WorkerReport

ALIVE_FILE = "supervisor.alive"
_ROUND_S = 0.5
_BUSY_ROUND_S = 0.05
_EXIT_GRACE_S = 1.0
_LOG = structlog.get_logger()


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
    _asked_to_stop: dict[str, float] = field(default_factory=dict)
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def kick(self) -> None:
        """Starts the next round now."""
        self._wake.set()

    async def run(self) -> None:
        """Rounds until the service stops."""
        loop = asyncio.get_running_loop()
        while not self.service.stopping.is_set():
            self._wake.clear()
            try:
                for job in await asyncio.to_thread(self.round):
                    self.service.hub.publish(job.id, job)
                (self.service.settings.data_dir / ALIVE_FILE).touch()
            except Exception:  # noqa: BLE001 - a full disk or a locked store must not end supervision
                _LOG.exception("supervisor")
            pause_s = _BUSY_ROUND_S if self._asked_to_stop else _ROUND_S
            handle = loop.call_later(pause_s, self._wake.set)
            await self._wake.wait()
            handle.cancel()

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Ends the loop; ends the workers too where the settings say so, otherwise they live on."""
        self.kick()
        await running
        if self.service.settings.stop_workers_on_exit:
            await asyncio.to_thread(self._stop_everything)

    def round(self) -> list[JobView]:
        """Does one comparison of store and executor; returns the jobs that changed."""
        changed = []
        watched = self.service.jobs.with_worker()
        for job in watched:
            ended = self.executor.poll(job.id, job.attempt)
            if ended is not None:
                changed.append(self._settle(job, ended))
            elif job.state is JobState.CANCELLING:
                self._urge(job)
        self._reap({(job.id, job.attempt) for job in watched})
        free = self.service.settings.slots - len(watched) + len(changed)
        while free > 0 and not self.service.stopping.is_set() and (started := self._start()) is not None:
            changed.append(started)
            free -= 1
        return changed

    def _start(self) -> JobView | None:
        """Claims the oldest queued job and starts its worker; None if nothing is queued."""
        token = new_ingest_token()
        job = self.service.jobs.claim(digest(token))
        if job is None:
            return None
        try:
            self.executor.submit(Launch(job.id, job.attempt, token))
        except OSError as error:
            cause = f"the worker could not be started: {error}"
            return self.service.jobs.move(job.id, JobState.CRASHED, cause)
        _LOG.info("worker started", job=job.id, attempt=job.attempt)
        return job

    def _urge(self, job: JobView) -> None:
        """Asks a worker to stop; ends it by force when its time is up."""
        now = self.clock()
        asked = self._asked_to_stop.get(job.id)
        if asked is None:
            self._asked_to_stop[job.id] = now
            self.executor.stop(job.id, job.attempt, force=False)
        elif now - asked > self.service.settings.cancel_grace_s:
            self.executor.stop(job.id, job.attempt, force=True)

    def _settle(self, job: JobView, ended: Ended) -> JobView:
        """Stores what an ended worker left behind, and decides what became of its job."""
        self._asked_to_stop.pop(job.id, None)
        self._drain(job.id)
        job = self.service.jobs.get(job.id)
        if job.state.is_final:
            return job
        outcome = self._outcome(job)
        if job.state is JobState.CANCELLING and (outcome is None or outcome.state == "failed"):
            state, cause = JobState.CANCELLED, "a user asked for it"
        elif outcome is not None and outcome.state not in {None, "running"}:
            state, cause = JobState(outcome.state), outcome.cause
        else:
            state, cause = JobState.CRASHED, f"{ended.how}{self._last_words(job.id)}"
        _LOG.info("worker ended", job=job.id, state=state, how=ended.how)
        try:
            return self.service.jobs.move(job.id, state, cause)
        except IllegalMove:
            return self.service.jobs.move(job.id, JobState.CRASHED, f"{ended.how}; it had said {state}")

    def _reap(self, watched: set[tuple[str, int]]) -> None:
        """Collects workers that reported their end themselves and have exited since."""
        for job_id, attempt in self._seen - watched:
            if self.executor.poll(job_id, attempt) is not None:
                self._drain(job_id)
                self._seen.discard((job_id, attempt))
        self._seen |= watched

    def _drain(self, job_id: str) -> None:
        """Stores the frames that an ended worker had spooled and not delivered."""
        spool = Spool(self.executor.spool_dir(job_id))
        for entry in spool.pending():
            try:
                self.service.frames.add(job_id, entry.read())
            except (FrameError, ValueError) as error:
                _LOG.warning("spooled frame refused", job=job_id, frame=entry.path.name, error=str(error))
            entry.forget()

    def _outcome(self, job: JobView) -> WorkerReport | None:
        """Returns how the worker itself said it ended, in case it could not tell the service."""
        try:
            text = self.executor.outcome_file(job.id, job.attempt).read_text(encoding="utf-8")
            return WorkerReport.model_validate_json(text)
        except (OSError, ValueError):
            return None

    def _last_words(self, job_id: str) -> str:
        """Returns the last line of the worker's log, as part of a sentence."""
        path = self.service.settings.jobs_dir / job_id / "worker.log"
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f"; its last line: {lines[-1][:300]}" if lines else ""

    def _stop_everything(self) -> None:
        """Ends every worker, politely and then by force, and notes why."""
        cause = "the service was stopped"
        for job in self.service.jobs.with_worker():
            if job.state is not JobState.CANCELLING:
                self.service.jobs.move(job.id, JobState.CANCELLING, cause)
            self.executor.stop(job.id, job.attempt, force=False)
        deadline = self.clock() + _EXIT_GRACE_S
        while left := self.service.jobs.with_worker():
            force = self.clock() > deadline
            for job in left:
                ended = self.executor.poll(job.id, job.attempt)
                if ended is not None:
                    self._settle_stopped(job, cause)
                elif force:
                    self.executor.stop(job.id, job.attempt, force=True)
            time.sleep(0.02)

    def _settle_stopped(self, job: JobView, cause: str) -> None:
        self._drain(job.id)
        job = self.service.jobs.get(job.id)
        if not job.state.is_final:
            self.service.jobs.move(job.id, JobState.CANCELLED, cause)

"""What becomes of a job whose worker has ended: its last frames are stored, its outcome is decided."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from server.execution.base import Ended, Executor
from server.hub import Item
from server.lifecycle import IllegalMove
from server.service import Service
from server.store.frames import StoredFrame
from sm3.remote.spool import Spool
from sm3.remote.wire import JobState, JobView, WorkerReport

_LOG = structlog.get_logger()


@dataclass(frozen=True)
class Settler:
    """Decides about ended workers.

    Args:
        service: the store.
        executor: tells where a worker left its spool and its outcome.
    """

    service: Service
    executor: Executor

    def settle(self, job: JobView, ended: Ended) -> list[tuple[str, Item]]:
        """Stores what the worker left behind and moves its job to its end; returns what viewers should hear."""
        changed: list[tuple[str, Item]] = [(job.id, frame) for frame in self.drain(job.id)]
        job = self.service.jobs.get(job.id)
        if not job.state.is_final:
            job = self._move(job, *self._decide(job, ended, "a user asked for it"), ended)
        self.executor.forget(job.id, job.attempt)
        return [*changed, (job.id, job)]

    def settle_stopped(self, job_id: str, ended: Ended, cause: str) -> None:
        """The same for a worker that was ended with the service; trouble is logged, since nothing comes after."""
        try:
            self.drain(job_id)
            job = self.service.jobs.get(job_id)
            if not job.state.is_final and job.state is not JobState.CANCELLING:
                job = self.service.jobs.move(job_id, JobState.CANCELLING, cause)
            if not job.state.is_final:
                self._move(job, *self._decide(job, ended, cause), ended)
        except Exception:  # noqa: BLE001 - the next service settles it
            _LOG.exception("job could not be settled", job=job_id)

    def drain(self, job_id: str) -> list[StoredFrame]:
        """Stores the frames that an ended worker had spooled and not delivered; returns those that are new."""
        stored = []
        for entry in Spool(self.executor.spool_dir(job_id)).pending():
            try:
                frame = self.service.frames.add(job_id, entry.read())
            except ValueError as error:
                _LOG.warning("spooled frame refused", job=job_id, frame=entry.path.name, error=str(error))
            else:
                stored += [frame] if frame.is_new else []
            entry.forget()
        return stored

    def _decide(self, job: JobView, ended: Ended, why_cancelled: str) -> tuple[JobState, str]:
        outcome = self._outcome(job)
        if outcome is not None and outcome.state == "succeeded":
            return JobState.SUCCEEDED, outcome.cause
        if job.state is JobState.CANCELLING:
            return JobState.CANCELLED, why_cancelled
        if outcome is not None and outcome.state == "failed":
            return JobState.FAILED, outcome.cause
        if outcome is not None:
            return JobState.CRASHED, f"a signal from outside ended the worker: {outcome.cause}"
        return JobState.CRASHED, f"{ended.how}{self._last_words(job.id)}"

    def _move(self, job: JobView, state: JobState, cause: str, ended: Ended) -> JobView:
        _LOG.info("worker ended", job=job.id, state=state, how=ended.how)
        try:
            return self.service.jobs.move(job.id, state, cause)
        except IllegalMove:  # the worker's own word, or a user's, came in between
            return self.service.jobs.get(job.id)

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

"""What becomes of a job whose worker has ended: its last frames are stored, its outcome is decided."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from server.checkpoint_files import newest_step
from server.execution.base import Ended, Executor
from server.hub import Item
from server.lifecycle import HAVE_WORKER, IllegalMove
from server.service import Service
from server.store import UnknownJob
from server.store.frames import StoredFrame
from sm3.remote.spool import Spool
from sm3.remote.wire import JobState, JobView, WorkerReport

_LOG = structlog.get_logger()


@dataclass(frozen=True)
class Verdict:
    """What becomes of a job; ``failures`` are crashes in a row from now on, None: as before."""

    state: JobState
    cause: str
    failures: int | None = None


@dataclass(frozen=True)
class Settler:
    """Decides about ended workers.

    Args:
        service: the store.
        executor: tells where a worker left its spool, its checkpoints and its outcome.
    """

    service: Service
    executor: Executor

    def settle(self, job: JobView, ended: Ended, *, killed_for: str | None = None) -> list[tuple[str, Item]]:
        """Stores what the worker left behind and decides about its job; returns what viewers should hear.

        Args:
            job: as it was when its worker was found to have ended.
            ended: how.
            killed_for: the limit that it was killed for, if it was.
        """
        changed: list[tuple[str, Item]] = [(job.id, frame) for frame in self.drain(job.id)]
        job = self.service.jobs.get(job.id)
        if job.state in HAVE_WORKER:
            job = self._move(job, self._decide(job, ended, killed_for), ended)
        self.executor.forget(job.id, job.attempt)
        return [*changed, (job.id, job)]

    def settle_stopped(self, job_id: str, ended: Ended, cause: str) -> None:
        """The same for a worker that was ended with the service; trouble is logged, since nothing comes after."""
        try:
            self.drain(job_id)
            job = self.service.jobs.get(job_id)
            if job.state in HAVE_WORKER:
                verdict = self._decide(job, ended, None)
                if verdict.state in {JobState.QUEUED, JobState.CRASHED}:
                    verdict = Verdict(
                        JobState.QUEUED, f"{cause}; {self._where(job)} when it is started again"
                    )
                self._move(job, verdict, ended)
        except UnknownJob:  # deleted while its worker, which had told its end, was leaving
            return
        except Exception:  # noqa: BLE001 - the next service settles it
            _LOG.exception("job could not be settled", job=job_id)

    def drain(self, job_id: str) -> list[StoredFrame]:
        """Stores the frames that an ended worker had spooled and not delivered; returns those that are new."""
        stored = []
        for entry in Spool(self.executor.spool_dir(job_id)).pending():
            try:
                frame = self.service.frames.add(job_id, entry.read())
            except (ValueError, UnknownJob) as error:
                _LOG.warning("spooled frame refused", job=job_id, frame=entry.path.name, error=str(error))
            else:
                stored += [frame] if frame.is_new else []
            entry.forget()
        return stored

    def _decide(self, job: JobView, ended: Ended, killed_for: str | None) -> Verdict:
        outcome = self._outcome(job)
        if outcome is not None and outcome.state == "succeeded":
            return Verdict(JobState.SUCCEEDED, outcome.cause)
        if job.state is JobState.CANCELLING:
            return Verdict(JobState.CANCELLED, job.cause)
        if killed_for is not None:
            return Verdict(JobState.FAILED, killed_for)
        if outcome is not None and outcome.state == "failed":
            return Verdict(JobState.FAILED, outcome.cause)
        if job.state is JobState.PAUSING:
            return Verdict(JobState.PAUSED, f"{job.cause}; {self._where(job)} when it is resumed")
        if outcome is not None and outcome.state == "paused":
            return Verdict(
                JobState.QUEUED, f"a signal from outside asked its worker to make way; {self._where(job)}"
            )
        if outcome is not None:
            return Verdict(JobState.CRASHED, f"a signal from outside ended the worker: {outcome.cause}")
        return self._after_crash(job, f"{ended.how}{self._last_words(job.id)}")

    def _after_crash(self, job: JobView, how: str) -> Verdict:
        """Another attempt, unless as many in a row have crashed without a new checkpoint as the job survives."""
        manifest = self.service.jobs.manifest(job.id)
        began = manifest.resumed_step if manifest is not None and manifest.attempt == job.attempt else None
        got_on = began is not None and newest_step(self.executor.checkpoints_dir(job.id)) > began
        failures = 1 if got_on else job.failures + 1
        survived = job.spec.retry.attempts
        if failures > survived:
            again = f"; {failures} crashes in a row, retry.attempts is {survived}" if survived else ""
            return Verdict(JobState.CRASHED, f"{how}{again}", failures)
        return Verdict(
            JobState.QUEUED, f"{how}; retry {failures} of {survived}: {self._where(job)}", failures
        )

    def _where(self, job: JobView) -> str:
        """Where the next attempt begins, as part of a sentence."""
        step = newest_step(self.executor.checkpoints_dir(job.id))
        return f"it goes on after step {step:,}" if step else "it begins again"

    def _move(self, job: JobView, verdict: Verdict, ended: Ended) -> JobView:
        _LOG.info("worker ended", job=job.id, attempt=job.attempt, state=verdict.state, how=ended.how)
        try:
            return self.service.jobs.move(job.id, verdict.state, verdict.cause, failures=verdict.failures)
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

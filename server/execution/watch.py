"""What a supervisor keeps an eye on while workers run: how they were asked to stop, their limits, waits after crashes.

All times are monotonic and kept in memory: a clock that jumps changes nothing, and a new service begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from server.execution.base import Ask, Executor
from server.settings import Settings
from sm3.remote.wire import JobState, JobView

_LATE_S = 30.0
_LONGEST_BACKOFF_S = 60.0
Key = tuple[str, int]


@dataclass
class Watch:
    """Presses workers that were asked to stop, and ends those that are over a limit of their job.

    Args:
        executor: what runs workers.
        settings: how long a worker may take to stop.
        clock: monotonic seconds.
    """

    executor: Executor
    settings: Settings
    clock: Callable[[], float]
    _asked: dict[Key, tuple[Ask, float]] = field(default_factory=dict)
    _since: dict[Key, float] = field(default_factory=dict)
    _over: dict[Key, str] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)

    @property
    def is_pressing(self) -> bool:
        """Whether a worker has been asked to stop and has not ended."""
        return bool(self._asked)

    def keep(self, jobs: Iterable[JobView]) -> None:
        """Forgets all workers but those of ``jobs``."""
        keys = {(job.id, job.attempt) for job in jobs}
        self._asked = {key: asked for key, asked in self._asked.items() if key in keys}
        self._since = {key: since for key, since in self._since.items() if key in keys}
        self._over = {key: why for key, why in self._over.items() if key in keys}

    def press(self, job: JobView) -> None:
        """Asks the worker of a job that is to stop to do so, and ends it by force when its time is up."""
        ask, grace_s = Ask.CANCEL, self.settings.cancel_grace_s
        if job.state is JobState.PAUSING:
            ask, grace_s = Ask.PAUSE, self.settings.pause_grace_s
        key, now = (job.id, job.attempt), self.clock()
        asked, at = self._asked.get(key, (None, now))
        if asked is not ask:
            self._asked[key] = (ask, now)
            self.executor.stop(*key, ask)
        elif now - at > grace_s:
            self.executor.stop(*key, Ask.KILL)

    def limit(self, job: JobView) -> None:
        """Ends the worker of a job that takes more memory than it may, or that does not see that its time is up."""
        key, now = (job.id, job.attempt), self.clock()
        limits = job.spec.limits
        ran_s = now - self._since.setdefault(key, now)
        if (
            limits.memory_bytes is not None
            and (used := self.executor.memory_bytes(*key)) > limits.memory_bytes
        ):
            self._over[key] = (
                f"its worker took {used:,} bytes of memory, limits.memory_bytes is {limits.memory_bytes:,}; clone the "
                "job with more memory or a smaller model or batch"
            )
        # A worker looks at the time itself, after every step; this is for one that hangs inside a step.
        if limits.time_s is not None and ran_s > limits.time_s + _LATE_S:
            self._over[key] = (
                f"limits.time_s of {limits.time_s:g} s was used up inside a step; clone the job with more time"
            )
        if key in self._over:
            self.executor.stop(*key, Ask.KILL)

    def killed_for(self, job: JobView) -> str | None:
        """Returns the limit that the job's worker was ended for, None if it was not."""
        return self._over.get((job.id, job.attempt))

    def hold_back(self, job: JobView) -> None:
        """Lets a job that crashed wait before its next attempt."""
        if job.state is JobState.QUEUED and job.failures:
            backoff_s = job.spec.retry.backoff_s * 2.0 ** min(job.failures - 1, 30)
            self._not_before[job.id] = self.clock() + min(backoff_s, _LONGEST_BACKOFF_S)

    def held_back(self) -> tuple[str, ...]:
        """Returns the ids of jobs that must still wait."""
        now = self.clock()
        self._not_before = {job_id: at for job_id, at in self._not_before.items() if at > now}
        return tuple(self._not_before)

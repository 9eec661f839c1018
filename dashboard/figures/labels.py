"""Jobs in a few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState, JobView

_GROUPS = {
    JobState.QUEUED: "queued",
    JobState.STARTING: "running",
    JobState.RUNNING: "running",
    JobState.PAUSING: "running",
    JobState.CANCELLING: "running",
    JobState.PAUSED: "paused",
    JobState.SUCCEEDED: "done",
    JobState.CANCELLED: "stopped",
    JobState.FAILED: "failed",
    JobState.CRASHED: "failed",
}


def spec_label(spec: JobSpec) -> str:
    """Returns recipe, size or kind of model, and optimizer, such as ``language-model tiny · sm3``.

    >>> spec_label(JobSpec(recipe={"name": "language-model"}))
    'language-model tiny · sm3'
    >>> spec_label(JobSpec(recipe={"name": "images", "model": "cnn"}))
    'images cnn · sm3'
    """
    return f"{spec.recipe.name} {spec.recipe.size} · {spec.optimizer.name}"


def job_label(job: JobView) -> str:
    """Returns what a list calls the job: its spec and the end of its id."""
    return f"{spec_label(job.spec)} · {job.id[-4:]}"


def summary(jobs: Iterable[JobView]) -> str:
    """Returns how many jobs are in which state, in one sentence."""
    counts = Counter(_GROUPS[job.state] for job in jobs)
    if not counts:
        return "No jobs yet."
    order = dict.fromkeys(_GROUPS.values())
    return ", ".join(f"{counts[group]} {group}" for group in order if counts[group]) + "."


def choose(jobs: Iterable[JobView]) -> JobView | None:
    """Returns the job to show when none is asked for: the newest that trains, else the newest."""
    listed = list(jobs)
    training = [job for job in listed if not job.state.is_final]
    return next(iter(training or listed), None)

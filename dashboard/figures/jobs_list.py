"""The list of jobs, computed: its message, its rows in order, its groups, and what can be done with each job."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dashboard.figures.cover_names import optimizer_name
from dashboard.figures.jobs_groups import Group, grouped, settings_of
from dashboard.figures.jobs_query import MAX_PICKED, RECIPES, STATES, JobsQuery
from dashboard.figures.labels import summary
from sm3.remote.tokens import Scope
from sm3.remote.wire import JobState, JobView

_CAN_PAUSE = {JobState.QUEUED, JobState.STARTING, JobState.RUNNING}


@dataclass(frozen=True)
class Row:
    """What the table shows of one job; ``started_at`` and ``finished_at`` are ISO 8601, losses in nats."""

    id: str
    state: str
    cause: str
    phase: str
    warning: str
    name: str
    about: str
    notes: str
    step: int
    steps: int
    eta_s: float | None
    loss: float | None
    val_loss: float | None
    started_at: str | None
    finished_at: str | None
    priority: int
    comparison: str
    can: tuple[str, ...]


def actions(state: JobState, scope: Scope = Scope.ADMIN) -> tuple[str, ...]:
    """Returns what someone of ``scope`` can do with a job in ``state``: pause, resume, cancel, delete."""
    if state.is_final:
        return ("delete",) if scope.covers(Scope.ADMIN) else ()
    if not scope.covers(Scope.LAUNCH):
        return ()
    some = ("pause",) if state in _CAN_PAUSE else ("resume",) if state is JobState.PAUSED else ()
    return some if state is JobState.CANCELLING else (*some, "cancel")


def row_of(job: JobView, scope: Scope = Scope.ADMIN) -> Row:
    """Returns what the table shows of ``job`` to someone of ``scope``."""
    labels = [f"{key}: {value[-4:] if key == 'comparison' else value}" for key, value in job.labels.items()]
    progress = job.progress
    return Row(
        id=job.id,
        state=job.state.value,
        cause=job.cause,
        phase=job.phase,
        warning=job.warning,
        name=f"{job.spec.recipe.name} {job.spec.recipe.size}",
        about=" · ".join([optimizer_name(job.spec.optimizer), *labels]),
        notes=job.notes,
        step=progress.step,
        steps=progress.steps,
        eta_s=progress.eta_s if job.state is JobState.RUNNING else None,
        loss=progress.loss,
        val_loss=progress.val_loss,
        started_at=job.started_at.isoformat() if job.started_at else None,
        finished_at=job.finished_at.isoformat() if job.finished_at else None,
        priority=job.priority,
        comparison=job.labels.get("comparison", ""),
        can=actions(job.state, scope),
    )


def ordered(jobs: Sequence[JobView], sort: str) -> tuple[JobView, ...]:
    """Returns ``jobs`` in the order ``sort``; what has no value comes last either way, and equals stay newest first."""
    name = sort.removeprefix("-")
    if not name:
        return tuple(jobs)
    known = [job for job in jobs if _key(job, name) is not None]
    rest = [job for job in jobs if _key(job, name) is None]
    return (*sorted(known, key=lambda job: _key(job, name), reverse=sort.startswith("-")), *rest)


def _key(job: JobView, name: str) -> Any:
    match name:
        case "name":
            return f"{job.spec.recipe.name} {job.spec.recipe.size} {optimizer_name(job.spec.optimizer)}"
        case "state":
            return next(i for i, states in enumerate(STATES.values()) if job.state in states)
        case "progress":
            return job.progress.step / job.progress.steps
        case "loss":
            loss = job.progress.loss
            return loss if loss is not None and math.isfinite(loss) else None
    return job.started_at


def message(jobs: Sequence[JobView], query: JobsQuery, *, has_more: bool, may_launch: bool = True) -> str:
    """Returns the page's one sentence: how many jobs are in which state, and of which part of the list that is."""
    if not jobs:
        if query.after:
            return "No older jobs."
        if query.is_filtered:
            return "No job matches the filters."
        return f"No jobs yet. {'Launch one: every field has a default.' if may_launch else 'You may look, not launch.'}"
    counted = summary(jobs).removesuffix(".")
    if has_more or query.after:
        which = f"{len(jobs):,} older jobs" if query.after else f"newest {len(jobs):,}"
        return f"{counted} among the {which}{' that match' if query.is_filtered else ''}."
    return f"{counted}: all that match." if query.is_filtered else f"{counted}."


def table(
    jobs: Sequence[JobView], query: JobsQuery, *, older: str | None, scope: Scope = Scope.ADMIN
) -> dict[str, Any]:
    """Returns in JSON what the table shows.

    Args:
        jobs: the jobs of the page, newest first.
        query: what the address asks for.
        older: cursor of the following page, or None on the last.
        scope: what whoever looks may do.
    """
    may_launch = scope.covers(Scope.LAUNCH)
    rows = ordered(jobs, query.sort)
    groups = grouped(rows, query.group, by_loss=query.sort.endswith("loss")) if query.group else ()
    in_order = [job for group in groups for job in group.jobs] if groups else rows
    return {
        "message": message(jobs, query, has_more=older is not None, may_launch=may_launch),
        "mayLaunch": may_launch,
        "rows": [asdict(row_of(job, scope)) for job in in_order],
        "groups": [_header(group) for group in groups],
        "query": asdict(query),
        "older": older or "",
        "maxPicked": MAX_PICKED,
        "choices": {
            "states": list(STATES),
            "recipes": list(RECIPES),
            "groups": list(dict.fromkeys([*settings_of(jobs), *([query.group] if query.group else [])])),
            "labels": sorted({f"{key}:{value}" for job in jobs for key, value in job.labels.items()}),
        },
    }


def _header(group: Group) -> dict[str, Any]:
    return {
        "value": group.value,
        "jobs": [job.id for job in group.jobs],
        "states": {
            name: sum(group.states.get(state.value, 0) for state in states) for name, states in STATES.items()
        },
        "best": group.best.progress.loss if group.best else None,
        "bestJob": group.best.id if group.best else None,
        "bestVal": group.best_val,
    }

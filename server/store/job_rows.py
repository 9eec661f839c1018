"""A job's row: made, moved from state to state, and shown; each within the caller's transaction."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from server.lifecycle import IllegalMove, check
from server.store.database import locking
from server.store.ids import next_id
from server.store.tables import JobRow, LabelRow, TransitionRow
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState, JobView, Memory, Progress


class UnknownJob(LookupError):  # noqa: N818 - reads as what it is
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id!r}")
        self.job_id = job_id


class StaleAttempt(ValueError):  # noqa: N818 - reads as what it is
    """A worker of an earlier attempt speaks; it is fenced off."""

    def __init__(self, given: int, current: int) -> None:
        super().__init__(
            f"attempt {given} given, but the job is at attempt {current}: this worker is out of date"
        )


class QueueFull(Exception):  # noqa: N818 - reads as what it is
    """As many jobs wait as may."""

    def __init__(self, waiting: int, wanted: int, limit: int) -> None:
        super().__init__(
            f"{waiting:,} jobs wait and {wanted:,} more {'were' if wanted > 1 else 'was'} asked for; at most "
            f"{limit:,} may wait"
        )


def row_of(session: Session, job_id: str) -> JobRow:
    """Returns a job's row, locked until the transaction ends if that writes. Raises `UnknownJob`."""
    row = session.get(JobRow, job_id, with_for_update=locking(session))
    if row is None:
        raise UnknownJob(job_id)
    return row


def check_attempt(row: JobRow, attempt: int) -> None:
    """Raises `StaleAttempt` unless ``attempt`` is the job's current one."""
    if attempt != row.attempt:
        raise StaleAttempt(attempt, row.attempt)


def require_room(session: Session, wanted: int, limit: int) -> None:
    """Raises `QueueFull` if ``wanted`` more queued jobs would be more than ``limit``."""
    waiting = session.scalar(select(func.count()).where(JobRow.state == JobState.QUEUED)) or 0
    if waiting + wanted > limit:
        raise QueueFull(waiting, wanted, limit)


def insert(session: Session, spec: JobSpec, now: float, *, cloned_from: str | None = None) -> JobRow:
    """Adds a new queued job to the session's transaction; returns its row."""
    row = JobRow(
        id=next_id(session, JobRow.id),
        state=JobState.QUEUED,
        attempt=0,
        cause="waiting for a free slot",
        phase="",
        spec=spec.model_dump_json(),
        created_s=now,
        ingest_digest="",
        step=0,
        frames=0,
        latest="{}",
        priority=spec.priority,
        recipe=spec.recipe.name,
        notes="",
        warning="",
        failures=0,
        base_step=0,
        cloned_from=cloned_from,
    )
    session.add(row)
    set_labels(session, row, spec.labels)
    log(session, row, now)
    return row


def set_labels(session: Session, row: JobRow, labels: dict[str, str]) -> None:
    """Gives a job these labels and no others."""
    row.labels = json.dumps(labels)
    _index_words(row)
    session.flush()
    session.execute(delete(LabelRow).where(LabelRow.job_id == row.id))
    session.add_all(LabelRow(job_id=row.id, key=key, value=value) for key, value in labels.items())


def set_notes(row: JobRow, notes: str) -> None:
    """Gives a job these notes."""
    row.notes = notes
    _index_words(row)


def _index_words(row: JobRow) -> None:
    """Gathers what a search looks at."""
    words = [row.id, row.recipe, json.loads(row.spec)["optimizer"]["name"], row.notes]
    words += [word for pair in json.loads(row.labels).items() for word in pair]
    row.words = "\n".join(words).lower()


def move(session: Session, row: JobRow, state: JobState, cause: str, now: float) -> None:
    """Takes a job to ``state``. Raises `lifecycle.IllegalMove`; nothing is changed then."""
    check(JobState(row.state), state)
    row.state, row.cause = state, cause
    if state.is_final or state in {JobState.QUEUED, JobState.PAUSED}:  # no worker, so nobody may report
        row.phase, row.ingest_digest = "", ""
    if state.is_final:
        row.finished_s, row.warning = now, ""
    log(session, row, now)


def cancel(session: Session, row: JobRow, cause: str, now: float) -> None:
    """Ends a job without a worker, asks any other to stop; raises `lifecycle.IllegalMove` if it has ended otherwise."""
    state = JobState(row.state)
    if state not in {JobState.CANCELLING, JobState.CANCELLED}:
        at_rest = state in {JobState.QUEUED, JobState.PAUSED}
        move(session, row, JobState.CANCELLED if at_rest else JobState.CANCELLING, cause, now)


def pause(session: Session, row: JobRow, cause: str, now: float) -> None:
    """Holds a queued job, asks a running one to make way; raises `lifecycle.IllegalMove` if it cannot."""
    state = JobState(row.state)
    if state not in {JobState.PAUSING, JobState.PAUSED}:
        move(session, row, JobState.PAUSED if state is JobState.QUEUED else JobState.PAUSING, cause, now)


def resume(session: Session, row: JobRow, cause: str, now: float) -> None:
    """Queues a paused job; does nothing to one that waits or runs; raises `lifecycle.IllegalMove` for any other."""
    state = JobState(row.state)
    if state is JobState.PAUSED:
        move(session, row, JobState.QUEUED, cause, now)
    elif state not in {JobState.QUEUED, JobState.STARTING, JobState.RUNNING}:
        raise IllegalMove(state, JobState.QUEUED)


def log(session: Session, row: JobRow, now: float) -> None:
    """Notes the state that a job has now come to."""
    last = session.scalar(select(func.max(TransitionRow.number)).where(TransitionRow.job_id == row.id))
    session.add(
        TransitionRow(
            job_id=row.id,
            number=0 if last is None else last + 1,
            state=row.state,
            attempt=row.attempt,
            at_s=now,
            cause=row.cause,
        )
    )


def at(seconds: float) -> datetime:
    """Returns Unix seconds as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def view(row: JobRow) -> JobView:
    """Returns a job's row as it is shown."""
    spec = JobSpec.model_validate_json(row.spec)
    latest = json.loads(row.latest)
    step_s = latest.get("step_s")
    left = 0 if JobState(row.state).is_final else spec.steps - row.step
    summary = json.loads(row.summary) if row.summary else {}
    return JobView(
        id=row.id,
        state=JobState(row.state),
        attempt=row.attempt,
        cause=row.cause,
        phase=row.phase,
        created_at=at(row.created_s),
        started_at=at(row.started_s) if row.started_s is not None else None,
        finished_at=at(row.finished_s) if row.finished_s is not None else None,
        spec=spec,
        labels=json.loads(row.labels),
        notes=row.notes,
        priority=row.priority,
        cloned_from=row.cloned_from,
        failures=row.failures,
        warning=row.warning,
        progress=Progress(
            step=row.step,
            steps=spec.steps,
            loss=latest.get("loss"),
            val_loss=latest.get("val_loss"),
            tokens_per_s=latest.get("tokens_per_s"),
            step_s=step_s,
            eta_s=step_s * left if step_s is not None and row.frames else None,
            last_frame_at=at(row.last_frame_s) if row.last_frame_s is not None else None,
            frames=row.frames,
            frames_dropped=int(latest.get("frames_dropped") or 0),
        ),
        memory=Memory.model_validate(summary["memory"]) if summary else None,
        provenance=summary.get("provenance", {}),
        device=summary.get("device", ""),
    )

"""One job told: its life, what is stored of it, what was asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

from dashboard.figures.equivalents import body_of
from sm3.remote.wire import CheckpointView, JobView, Transition


def life(job: JobView, moves: Sequence[Transition]) -> tuple[str, ...]:
    """Returns the job's life, a line a change of state: when, how long after the first, and why."""
    told = []
    for move in moves:
        after = move.at - moves[0].at
        cause = f": {move.cause}" if move.cause else ""
        attempt = f", attempt {move.attempt}" if move.attempt else ""
        told.append(f"{move.at:%d %b %H:%M:%S} · +{_lasted(after)} · {move.state}{attempt}{cause}")
    if job.warning:
        told.append(f"Goes on in spite of: {job.warning}")
    if job.cloned_from:
        told.append(f"Cloned from {job.cloned_from}.")
    if dropped := job.progress.frames_dropped:
        told.append(f"{dropped:,} frames were dropped on their way.")
    told.append(f"{job.progress.frames:,} frames are stored.")
    return tuple(told)


def stored(checkpoints: Sequence[CheckpointView]) -> tuple[str, ...]:
    """Returns the checkpoints, newest first: step, time and bytes."""
    if not checkpoints:
        return (
            "None so far: the first is written at the step that `checkpoint.every` names, or on pausing.",
        )
    return tuple(
        f"step {point.step:,} · {point.at:%d %b %H:%M:%S} · {point.size_bytes / 2**20:,.1f} MiB, of these "
        f"{point.model_bytes / 2**20:,.1f} MiB weights"
        for point in checkpoints
    )


def settings(job: JobView) -> str:
    """Returns the job's spec in JSON: what differs from the defaults first, then all of it."""
    differs = json.dumps(body_of(job.spec), indent=2)
    return (
        f"// what differs from the defaults\n{differs}\n\n// all of it\n{job.spec.model_dump_json(indent=2)}"
    )


def _lasted(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

"""A job's changes of state, told with the step they happened at, so that a chart over steps can mark them."""

from __future__ import annotations

from server.service import Service
from sm3.remote.wire import JobState, Move, Transition

NEWEST = 100


def newest(here: Service, job_id: str) -> tuple[Move, ...]:
    """Returns the newest changes of state, oldest first."""
    changes = here.jobs.transitions(job_id)[-NEWEST:]
    return placed(changes, here.frames.reach(job_id))


def placed(changes: tuple[Transition, ...], reach: dict[int, tuple[int, int]]) -> tuple[Move, ...]:
    """Returns changes with their steps: an attempt begins to run at its first frame and leaves at its last.

    Args:
        changes: oldest first.
        reach: attempt to the steps of its first and last frame; attempts without frames are not in it.
    """
    moves, step = [], 0
    for change in changes:
        first, last = reach.get(change.attempt, (step, step))
        if change.state in {JobState.QUEUED, JobState.STARTING, JobState.RUNNING}:
            # What a resumed attempt waits for comes before its first frame.
            at = step if change.state is not JobState.RUNNING else max(step, first if change.attempt else 0)
        else:
            at = max(step, last)
        step = at
        moves.append(Move(**change.model_dump(), step=at))
    return tuple(moves)

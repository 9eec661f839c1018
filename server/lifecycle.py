"""The life of a job, as one table.

==========  ==============================================================
state       what may follow
==========  ==============================================================
queued      starting (a slot is free), paused or cancelled (before it ran)
starting    running (the first step is done), pausing, cancelling, queued again,
            succeeded (its word of running was lost), failed, crashed
running     pausing or cancelling (someone asked), queued again (its worker was
            lost and goes on from its checkpoint), succeeded, failed, crashed
pausing     paused (its worker has stopped, and its slot is free), cancelling,
            succeeded or failed (it ended first)
paused      queued (someone resumed it), cancelled
cancelling  every end: a worker that finishes first has still succeeded
==========  ==============================================================

``succeeded``, ``failed`` (the recipe raised, or a limit was reached), ``cancelled`` (asked for) and ``crashed``
(the process vanished more often than the job's retry policy survives) are ends: nothing follows.
"""

from __future__ import annotations

from sm3.remote.wire import JobState

_Q, _S, _R, _C = JobState.QUEUED, JobState.STARTING, JobState.RUNNING, JobState.CANCELLING
_PAUSING, _PAUSED = JobState.PAUSING, JobState.PAUSED
_ENDS = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.CRASHED})
_BY_ITSELF = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CRASHED})

MOVES: dict[JobState, frozenset[JobState]] = {
    _Q: frozenset({_S, _PAUSED, JobState.CANCELLED}),
    _S: frozenset({_R, _PAUSING, _C, _Q}) | _BY_ITSELF,
    _R: frozenset({_PAUSING, _C, _Q}) | _BY_ITSELF,
    _PAUSING: frozenset({_PAUSED, _C, JobState.SUCCEEDED, JobState.FAILED}),
    _PAUSED: frozenset({_Q, JobState.CANCELLED}),
    _C: _ENDS,
    **{end: frozenset() for end in _ENDS},
}
HAVE_WORKER = frozenset({_S, _R, _PAUSING, _C})


class IllegalMove(ValueError):  # noqa: N818 - reads as what it is
    """A change of state that the table does not allow; nothing was changed."""

    def __init__(self, current: JobState, wanted: JobState) -> None:
        allowed = ", ".join(sorted(MOVES[current])) or "nothing: it has ended"
        super().__init__(f"a job that is {current} cannot become {wanted}; what may follow is {allowed}")
        self.current, self.wanted = current, wanted


def check(current: JobState, wanted: JobState) -> None:
    """Raises :class:`IllegalMove` unless a job that is ``current`` may become ``wanted``."""
    if wanted not in MOVES[current]:
        raise IllegalMove(current, wanted)

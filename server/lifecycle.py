"""The life of a job, as one table.

==========  ==============================================================
state       what may follow
==========  ==============================================================
queued      starting (a slot is free), cancelled (before it ran)
starting    running (the first step is done), cancelling, succeeded (its word of
            running was lost), failed, crashed
running     cancelling (someone asked), succeeded, failed, crashed
cancelling  every end: a worker that finishes first has still succeeded
==========  ==============================================================

``succeeded``, ``failed`` (the recipe raised), ``cancelled`` (asked for) and ``crashed`` (the process vanished)
are ends: nothing follows.
"""

from __future__ import annotations

from sm3.remote.wire import JobState

_Q, _S, _R, _C = JobState.QUEUED, JobState.STARTING, JobState.RUNNING, JobState.CANCELLING
_ENDS = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.CRASHED})

MOVES: dict[JobState, frozenset[JobState]] = {
    _Q: frozenset({_S, JobState.CANCELLED}),
    _S: frozenset({_R, _C, JobState.SUCCEEDED, JobState.FAILED, JobState.CRASHED}),
    _R: frozenset({_C, JobState.SUCCEEDED, JobState.FAILED, JobState.CRASHED}),
    _C: _ENDS,
    **{end: frozenset() for end in _ENDS},
}
HAVE_WORKER = frozenset({_S, _R, _C})


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

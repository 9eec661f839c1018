"""The table of moves."""

from __future__ import annotations

from itertools import product

import pytest

from server.lifecycle import HAVE_WORKER, MOVES, IllegalMove, check
from sm3.remote.wire import JobState


def test_every_state_has_a_row_and_ends_have_none_to_follow() -> None:
    assert set(MOVES) == set(JobState)
    for state in JobState:
        assert state.is_final == (MOVES[state] == frozenset())


@pytest.mark.parametrize(("current", "wanted"), list(product(JobState, JobState)))
def test_a_move_is_allowed_exactly_if_the_table_says_so(current: JobState, wanted: JobState) -> None:
    if wanted in MOVES[current]:
        check(current, wanted)
    else:
        with pytest.raises(IllegalMove, match=f"{current} cannot become {wanted}"):
            check(current, wanted)


def test_an_end_can_be_reached_from_every_state() -> None:
    for state in HAVE_WORKER | {JobState.QUEUED, JobState.PAUSED}:
        reachable, frontier = set(), {state}
        while frontier:
            reachable |= frontier
            frontier = {after for s in frontier for after in MOVES[s]} - reachable
        assert {s for s in reachable if s.is_final}


def test_a_job_is_cancelled_only_after_it_was_asked_to_stop() -> None:
    assert JobState.CANCELLED not in MOVES[JobState.RUNNING]
    assert JobState.CANCELLED in MOVES[JobState.CANCELLING]

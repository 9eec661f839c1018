"""Changes of state with their steps."""

from __future__ import annotations

from datetime import UTC, datetime

from server.moves import placed
from sm3.remote.wire import JobState, Transition

STATES = [
    ("queued", 0, 0),
    ("starting", 0, 0),
    ("running", 0, 0),
    ("pausing", 0, 40),
    ("paused", 0, 40),
    ("queued", 0, 40),
    ("starting", 1, 40),
    ("running", 1, 50),
    ("crashed", 1, 90),
]


def test_each_change_is_placed_where_the_curve_was() -> None:
    changes = tuple(
        Transition(number=k, state=JobState(state), at=datetime.now(UTC), attempt=attempt, cause="")
        for k, (state, attempt, _) in enumerate(STATES)
    )
    found = placed(changes, {0: (10, 40), 1: (50, 90)})
    assert [move.step for move in found] == [step for *_, step in STATES]
    assert [move.step for move in placed(changes[:3], {})] == [0, 0, 0]

"""Batches are a pure function of seed and step, and an epoch visits every window once."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.worker.data.windows import Windows

HUNDRED = Windows(np.arange(1001, dtype=np.uint16), context=10)


def test_an_epoch_visits_every_window_once_and_the_next_one_in_another_order():
    def first_tokens(steps):
        return [int(first) for step in steps for first in HUNDRED.shuffled(step, batch_size=5, seed=0)[:, 0]]

    first, second = first_tokens(range(20)), first_tokens(range(20, 40))
    assert sorted(first) == sorted(second) == list(range(0, 1000, 10))
    assert first != second


def test_a_batch_may_reach_over_the_end_of_an_epoch():
    seen = [int(first) for step in range(100) for first in HUNDRED.shuffled(step, batch_size=7, seed=0)[:, 0]]
    for epoch in range(7):
        assert sorted(seen[100 * epoch : 100 * (epoch + 1)]) == list(range(0, 1000, 10))


def test_a_window_is_a_stretch_of_text_and_its_last_target():
    for window in HUNDRED.shuffled(3, batch_size=4, seed=1):
        assert window.tolist() == list(range(window[0], window[0] + 11))
        assert window.dtype == np.int64


def test_the_same_step_gives_the_same_batch_in_any_order_and_any_process():
    late_first = [HUNDRED.shuffled(step, batch_size=3, seed=5).tolist() for step in (9, 2)]
    assert [HUNDRED.shuffled(step, batch_size=3, seed=5).tolist() for step in (2, 9)] == late_first[::-1]
    code = (
        "import numpy; from server.worker.data.windows import Windows;"
        "print(Windows(numpy.arange(1001), context=10).shuffled(9, batch_size=3, seed=5).tolist())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(late_first[0])


def test_seeds_give_orders_of_their_own():
    assert (
        HUNDRED.shuffled(0, batch_size=9, seed=0).tolist()
        != HUNDRED.shuffled(0, batch_size=9, seed=1).tolist()
    )
    HUNDRED.shuffled(0, batch_size=9, seed=2**63 - 1)


@pytest.mark.parametrize("size", [0, 1, 10])
def test_a_text_too_short_for_one_window_is_refused(size):
    with pytest.raises(ValueError, match=f"has {size} tokens, too few for a context of 10"):
        Windows(np.zeros(size, dtype=np.uint16), context=10)


def test_the_shortest_text_has_one_window():
    windows = Windows(np.arange(11), context=10)
    assert len(windows) == 1
    assert windows.shuffled(7, batch_size=2, seed=0).tolist() == [list(range(11))] * 2


@given(st.integers(1, 250))
def test_spread_windows_are_different_and_reach_over_the_whole_text(count):
    chosen = HUNDRED.spread(count)
    assert len(set(chosen)) == len(chosen) == min(count, 100)
    assert chosen == sorted(chosen)
    assert chosen[-1] >= 100 - 2 * (100 // count + 1)

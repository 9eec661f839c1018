"""An order is a permutation that its key decides, and a batch is a pure function of seed and step."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from server.worker.data.order import batch_indices, permute


@given(size=st.integers(1, 100), key=st.binary(max_size=64))
@settings(deadline=None)
def test_a_permutation_visits_every_index_once(size, key):
    assert sorted(permute(index, size=size, key=key) for index in range(size)) == list(range(size))


@given(size=st.integers(1, 2**50), index=st.integers(0, 2**50 - 1))
def test_a_permutation_of_a_huge_range_stays_in_range(size, index):
    assert 0 <= permute(index % size, size=size, key=b"key") < size


def test_orders_of_different_keys_agree_no_more_than_chance():
    orders = [[permute(index, size=1000, key=bytes([key])) for index in range(1000)] for key in range(20)]
    places_in_common = [
        sum(map(int.__eq__, first, second))
        for number, first in enumerate(orders)
        for second in orders[:number]
    ]
    assert sum(places_in_common) / len(places_in_common) < 2  # chance says 1


def test_neighbours_do_not_stay_together():
    order = [permute(index, size=1000, key=b"key") for index in range(1000)]
    assert sum(abs(second - first) == 1 for first, second in pairwise(order)) < 10


@given(size=st.integers(1, 50), batch_size=st.integers(1, 70), seed=st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_every_epoch_visits_each_item_once_whatever_the_batch_size(size, batch_size, seed):
    steps = range(-(-3 * size // batch_size))
    seen = [
        item for step in steps for item in batch_indices(step, size=size, batch_size=batch_size, seed=seed)
    ]
    for epoch in range(3):
        assert sorted(seen[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_an_order_never_changes_from_one_version_to_the_next():
    assert batch_indices(3, size=100, batch_size=5, seed=7) == [69, 61, 56, 93, 12]

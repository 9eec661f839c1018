"""Fan-out: bounded, without waiting for anyone."""

from __future__ import annotations

import asyncio

from server.hub import RING, Hub
from server.store.frames import StoredFrame
from sm3.remote.frames import Header, Scalars


def frame(seq: int) -> StoredFrame:
    return StoredFrame(Header("j", 0, seq, seq, 0.0), Scalars(), b"", is_new=True)


def seqs(items: list) -> list[int]:
    return [item.header.seq for item in items]


def test_a_viewer_sees_everything_from_its_start_in_order() -> None:
    hub = Hub()
    with hub.watch("j") as cursor:
        for seq in range(3):
            hub.publish("j", frame(seq))
        items, missed = cursor.take()
        assert (seqs(items), missed) == ([0, 1, 2], 0)
        assert cursor.take() == ([], 0)


def test_a_slow_viewer_is_told_how_much_it_missed_and_others_miss_nothing() -> None:
    hub = Hub()
    with hub.watch("j") as slow, hub.watch("j") as quick:
        seen = []
        for seq in range(RING + 7):
            hub.publish("j", frame(seq))
            seen += seqs(quick.take()[0])
        items, missed = slow.take()
        assert missed == 7
        assert seqs(items) == list(range(7, RING + 7))
        assert seen == list(range(RING + 7))


def test_nothing_is_kept_for_jobs_that_nobody_watches() -> None:
    hub = Hub()
    hub.publish("j", frame(0))
    with hub.watch("j") as cursor:
        assert cursor.take() == ([], 0)
    assert hub.num_viewers == 0
    assert hub._channels == {}


def test_waiting_ends_with_news_with_time_and_with_the_service() -> None:
    async def scenario() -> tuple[bool, bool, bool]:
        hub = Hub()
        with hub.watch("j") as cursor:
            in_vain = await cursor.wait(0.01)
            waiting = asyncio.create_task(cursor.wait(10))
            await asyncio.sleep(0)
            hub.publish("j", frame(0))
            with_news = await waiting
            cursor.take()
            waiting = asyncio.create_task(cursor.wait(10))
            await asyncio.sleep(0)
            hub.wake()
            return in_vain, with_news, await waiting

    assert asyncio.run(scenario()) == (False, True, False)

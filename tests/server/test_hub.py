"""Fan-out: bounded, without waiting for anyone."""

from __future__ import annotations

import asyncio
import time

import pytest

from server.hub import RING, Hub, StoreMoved, TooManyViewers
from server.store.frames import StoredFrame
from server.store.marks import Mark
from sm3.remote.frames import Header, Scalars


def frame(seq: int) -> StoredFrame:
    return StoredFrame(Header("j", 0, seq, seq, 0.0), Scalars(), b"", is_new=True)


def seqs(items: list) -> list[int]:
    return [published.item.header.seq for published in items]


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


def test_the_store_is_asked_once_for_all_viewers_and_again_after_news() -> None:
    async def scenario() -> tuple[int, list[int]]:
        hub, asked = Hub(), []

        def ask() -> int:
            asked.append(len(asked))
            return asked[-1]

        with hub.watch("j") as cursor:
            first = await asyncio.gather(*(cursor.channel.once("q", ask) for _ in range(50)))
            hub.publish("j", frame(0))
            second = await asyncio.gather(*(cursor.channel.once("q", ask) for _ in range(50)))
        return len(asked), [*first, *second]

    assert asyncio.run(scenario()) == (2, [0] * 50 + [1] * 50)


def test_a_viewer_that_leaves_takes_no_answer_from_the_others_and_a_failure_is_not_kept() -> None:
    async def scenario() -> list[object]:
        hub, outcomes = Hub(), iter([ValueError("away"), 7])

        def ask() -> int:
            time.sleep(0.05)
            if isinstance(outcome := next(outcomes), Exception):
                raise outcome
            return outcome

        with hub.watch("j") as cursor:
            leaving, staying = (asyncio.create_task(cursor.channel.once("q", ask)) for _ in range(2))
            await asyncio.sleep(0.01)
            leaving.cancel()
            failed = await asyncio.gather(leaving, staying, return_exceptions=True)
            await asyncio.sleep(0)
            return [*map(type, failed), await cursor.channel.once("q", ask)]

    assert asyncio.run(scenario()) == [asyncio.CancelledError, ValueError, 7]


def test_one_viewer_too_many_is_refused_and_nothing_changes() -> None:
    hub = Hub(max_viewers=3, max_viewers_per_job=2)
    with hub.watch("a"), hub.watch("a"):
        with pytest.raises(TooManyViewers, match="this job has 2 viewers"), hub.watch("a"):
            pass
        with hub.watch("b"):
            with pytest.raises(TooManyViewers, match="the service has 3 viewers"), hub.watch("c"):
                pass
            assert hub.num_viewers == 3
            assert hub.watched == ("a", "b")


def test_only_what_was_not_published_here_is_news() -> None:
    hub = Hub()
    words = ("running", "0", "")

    def news(mark: Mark | None) -> bool:
        hub.compare("j", mark)
        return [type(published.item) for published in cursor.take()[0]] == [StoreMoved]

    with hub.watch("j") as cursor:
        assert news(Mark(5, words))  # before the first look nothing is known
        assert not news(Mark(5, words))
        hub.publish("j", frame(5))
        cursor.take()
        assert not news(Mark(6, words))
        assert news(Mark(7, words))
        assert not news(Mark(7, words))
        assert news(Mark(8, words))  # stored by this process, but the look came before it was published
        hub.publish("j", frame(7))
        cursor.take()
        assert not news(Mark(8, words))
        assert news(Mark(9, words))
        assert news(Mark(9, ("cancelling", "0", "")))
        assert news(None)

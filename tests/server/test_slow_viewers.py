"""Viewers that are slower than the frames, in one process: what they miss, and that they hear of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from benchmarks.feeding import make_frame
from server.access import ANYONE
from server.connections import Stall
from server.events import Format, Position
from server.hub import RING, Hub
from server.operation.measures import Measures
from server.routes.live import FILL_FRAMES, _Viewer
from server.store import Database, FrameStore, JobStore
from server.story import Story
from sm3.remote.frames import decode, read_scalars
from sm3.remote.job_specs import JobSpec


class Here:
    """The parts of a service that streams use, and a job to feed."""

    def __init__(self, folder: Path) -> None:
        database = Database(f"sqlite:///{folder / 'store.sqlite3'}")
        self.jobs, self.frames, self.hub = JobStore(database), FrameStore(database), Hub()
        self.database, self.stopping = database, asyncio.Event()
        self.settings = SimpleNamespace(heartbeat_s=30.0)
        self.access = SimpleNamespace(holds=lambda _: True)
        self.measures = Measures()
        self.job = self.jobs.create(JobSpec.model_validate({"recipe": {"name": "language-model"}})).id
        self.seq = 0

    def feed(self, count: int) -> None:
        for _ in range(count):
            stored = self.frames.add(self.job, make_frame(self.job, self.seq, size_bytes=500, tensors=1))
            self.hub.publish(self.job, stored)
            self.seq += 1

    def story(self, **options: bool) -> Story:
        here: Any = self
        return Story(here, self.job, Position(), Format(sse=False), **options)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


async def hear(stream: Any, until: int) -> list[dict[str, Any]]:
    """Events up to the frame numbered ``until``."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["data"].get("seq") != until:
        events += map(json.loads, (await anext(stream)).splitlines())
    return events


def frames(events: list[dict[str, Any]]) -> list[int]:
    return [event["data"]["seq"] for event in events if event["event"] == "frame"]


@pytest.mark.parametrize("behind", [1, RING, RING + 1, 3 * RING])
def test_a_reader_that_falls_behind_gets_every_frame_from_the_store(here: Here, behind: int) -> None:
    async def scenario() -> list[dict[str, Any]]:
        here.feed(3)
        stream = here.story().tell()
        events = await hear(stream, 2)
        here.feed(1)
        events += await hear(stream, 3)
        here.feed(behind)
        events += await hear(stream, 3 + behind)
        await stream.aclose()
        return events

    events = asyncio.run(scenario())
    assert frames(events) == list(range(4 + behind))
    assert here.hub.num_viewers == 0


def test_one_that_would_rather_not_catch_up_is_told_what_it_missed(here: Here) -> None:
    async def scenario() -> list[dict[str, Any]]:
        here.feed(3)
        stream = here.story(catch_up=False).tell()
        events = await hear(stream, 2)
        here.feed(1)
        events += await hear(stream, 3)
        here.feed(RING + 10)
        events += await hear(stream, 13 + RING)
        await stream.aclose()
        return events

    events = asyncio.run(scenario())
    (gap,) = [event["data"] for event in events if event["event"] == "gap"]
    assert gap == {"attempt": 0, "first": 4, "last": 13, "reason": "slow"}
    assert frames(events) == [*range(4), *range(14, 14 + RING)]


class Socket:
    """A WebSocket whose other side reads only while ``reading`` is set."""

    def __init__(self) -> None:
        self.heard: list[str | bytes] = []
        self.reading = asyncio.Event()
        self.reading.set()

    async def send_text(self, text: str) -> None:
        await self.reading.wait()
        self.heard.append(text)

    send_bytes: Callable[..., Any] = send_text

    async def receive(self) -> dict[str, Any]:
        return await asyncio.get_running_loop().create_future()

    async def hears(self, seq: int) -> None:
        async with asyncio.timeout(20):
            while seq not in self.seqs:
                await asyncio.sleep(0.01)

    @property
    def seqs(self) -> list[int]:
        return [decode(m).seq for m in self.heard if isinstance(m, bytes) and b'"seq"' in m]

    @property
    def fills(self) -> list[int]:
        """Steps of the points that came after the history."""
        found = [read_scalars(m) for m in self.heard if isinstance(m, bytes) and b'"seq"' not in m]
        return [step for scalars in found[1:] for step in dict.fromkeys(scalars.step.tolist())]

    @property
    def gaps(self) -> list[tuple[int, int]]:
        said = [json.loads(m) for m in self.heard if isinstance(m, str)]
        return [(m["first"], m["last"]) for m in said if m["type"] == "gap"]


@pytest.mark.parametrize("behind", [RING + 2, FILL_FRAMES + 20])
def test_a_slow_page_gets_the_newest_frame_and_the_scalars_of_all_others(here: Here, behind: int) -> None:
    async def scenario() -> Socket:
        socket: Any = Socket()
        service: Any = here
        with here.hub.watch(here.job) as cursor:
            viewing = asyncio.create_task(
                _Viewer(socket, service, here.job, cursor, ANYONE).serve(None, None)
            )
            await asyncio.sleep(0)
            here.feed(1)
            await socket.hears(0)
            socket.reading.clear()
            here.feed(1)
            await asyncio.sleep(0.1)  # it is stuck in sending frame 1
            here.feed(behind)
            socket.reading.set()
            await socket.hears(1 + behind)
            viewing.cancel()
            await asyncio.gather(viewing, return_exceptions=True)
        return socket

    socket = asyncio.run(scenario())
    assert socket.seqs == [0, 1, 1 + behind]
    assert socket.fills == [10 * (seq + 1) for seq in range(2, 1 + behind)]
    covered = [seq for first, last in socket.gaps for seq in range(first, last + 1)]
    assert covered == list(range(2, 1 + behind))


class Clock:
    """What `Stall` asks of an event loop."""

    def __init__(self) -> None:
        self.due: Callable[[], None] | None = None

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Any:
        assert delay_s == 5.0
        self.due = call

        def cancel() -> None:
            self.due = None

        return SimpleNamespace(cancel=cancel)

    def pass_(self) -> None:
        due, self.due = self.due, None
        assert due is not None
        due()


def test_a_connection_in_which_nothing_moves_is_cut_and_one_that_moves_is_not() -> None:
    clock, waiting, cut = Clock(), [100], []
    stall = Stall(5.0, lambda: waiting[0], lambda: cut.append(True), clock.call_later)
    stall.begin()
    waiting[0] = 99
    clock.pass_()
    assert not cut
    stall.end()
    assert clock.due is None
    stall.begin()
    waiting[0] = 105
    clock.pass_()
    assert cut == [True]
    assert clock.due is None


def test_a_stream_of_a_service_without_a_store_breaks_off_without_an_end(here: Here) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("select", {}, Exception("away"))

    here.frames = SimpleNamespace(points=away)  # type: ignore[assignment]

    async def scenario() -> list[bytes]:
        return [chunk async for chunk in here.story().tell()]

    assert asyncio.run(scenario()) == []
    assert here.hub.num_viewers == 0

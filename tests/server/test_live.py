"""The live WebSocket: what a viewer that comes back, is slow, silent or talks nonsense gets, and what others feel."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from safetensors.numpy import load

from sm3.remote.client import Client
from sm3.remote.frames import Frame, Point, Scalars, decode, encode, read_scalars
from tests.conftest import RunningService
from tests.server.fed import FedJob

STALL_S = 1.0
VIEWERS = 12
SETTINGS = {
    "SM3_SLOTS": "0",
    "SM3_MAX_VIEWERS_PER_JOB": str(VIEWERS),
    "SM3_VIEWER_STALL_S": str(STALL_S),
    "SM3_HEARTBEAT_S": "0.5",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[RunningService]:
    """A service that runs no workers and is soon tired of viewers that read nothing."""
    running = RunningService(tmp_path_factory.mktemp("api"), cache_dir, environment=SETTINGS).start()
    yield running
    running.stop()
    assert "Traceback" not in running.log


def address(api: RunningService, job_id: str, **query: str) -> str:
    with api.client as client:
        query["ticket"] = client.ticket(job_id).ticket
    return f"ws://127.0.0.1:{api.port}/v1/jobs/{job_id}/live?" + "&".join(
        f"{k}={v}" for k, v in query.items()
    )


@asynccontextmanager
async def viewer(
    api: RunningService, job: FedJob, **query: str
) -> AsyncIterator[websockets.ClientConnection]:
    url = await asyncio.to_thread(address, api, job.id, **query)
    async with websockets.connect(url, proxy=None, max_size=None) as opened:
        yield opened


def told(message: str | bytes) -> tuple[Any, ...]:
    """A message in short: ("frame", key), ("points", steps, all series?), or its type and what it says."""
    if isinstance(message, str):
        said = json.loads(message)
        if said["type"] == "gap":
            return ("gap", said["attempt"], said["first"], said["last"], said["reason"])
        return (said["type"],)
    metadata = json.loads(message[8 : 8 + int.from_bytes(message[:8], "little")])["__metadata__"]
    if "asked" in metadata:
        tensors = {name.split("/", 2)[2] for name in load(message) if not name.startswith("scalars/")}
        return ("past", metadata["asked"], metadata.get("step"), metadata["tensor"], tensors)
    if "seq" in metadata:
        frame = decode(message)
        return ("frame", frame.attempt, frame.seq)
    scalars = read_scalars(message)
    steps = sorted({int(step) for step in scalars.step})
    return ("points", steps, any("/" in name for name in scalars.names))


def metadata(message: bytes) -> dict[str, str]:
    header_bytes = int.from_bytes(message[:8], "little")
    found: dict[str, str] = json.loads(message[8 : 8 + header_bytes])["__metadata__"]
    return found


async def hear(opened: websockets.ClientConnection, count: int) -> list[tuple[Any, ...]]:
    """The next ``count`` messages, but for signs of life and for how the job stands."""
    heard: list[tuple[Any, ...]] = []
    while len(heard) < count:
        message = told(await asyncio.wait_for(opened.recv(), 20))
        if message not in (("ping",), ("job",)):
            heard.append(message)
    return heard


def test_a_viewer_that_comes_back_gets_what_it_lacks_and_no_more(api: RunningService) -> None:
    job = FedJob(api)
    job.feed(4)
    job.next_attempt()
    job.feed(3)

    async def scenario() -> None:
        async with viewer(api, job) as opened:
            assert await hear(opened, 2) == [("points", [10, 20, 30, 40], False), ("frame", 1, 2)]
        async with viewer(api, job, since="0:1", tensor="blocks.0.weight") as opened:
            assert await hear(opened, 4) == [
                ("gap", 0, 2, 3, "away"),
                ("gap", 1, 0, 1, "away"),
                ("points", [10, 20, 30, 40], True),
                ("frame", 1, 2),
            ]
        async with viewer(api, job, since="1:2") as opened:
            await asyncio.to_thread(job.feed, 1)
            assert await hear(opened, 1) == [("frame", 1, 3)]

    asyncio.run(scenario())


@pytest.mark.parametrize("since", ["7:0", "0:999"])
def test_one_that_comes_back_from_nowhere_or_after_long_gets_everything(
    api: RunningService, since: str
) -> None:
    job = FedJob(api)
    job.feed(2)

    async def scenario() -> None:
        async with viewer(api, job, since=since, tensor="blocks.1.weight") as opened:
            assert await hear(opened, 3) == [
                ("points", [10, 20], False),
                ("points", [10, 20], True),
                ("frame", 0, 1),
            ]

    asyncio.run(scenario())


def test_one_that_was_away_for_long_gets_the_history_rather_than_every_frames_scalars(
    api: RunningService,
) -> None:
    job = FedJob(api)
    job.feed(503)

    async def scenario() -> None:
        async with viewer(api, job, since="0:0") as opened:
            points, frame = await hear(opened, 2)
            assert (len(points[1]), points[2]) == (503, False)
            assert frame == ("frame", 0, 502)
        async with viewer(api, job, since="0:2") as opened:
            gap, points, frame = await hear(opened, 3)
            assert gap == ("gap", 0, 3, 501, "away")
            assert (len(points[1]), points[2], frame) == (499, True, ("frame", 0, 502))

    asyncio.run(scenario())


def test_what_another_process_stores_is_shown(api: RunningService) -> None:
    job = FedJob(api)

    async def scenario() -> None:
        async with viewer(api, job) as opened:
            await hear(opened, 1)
            await asyncio.to_thread(job.store_elsewhere)
            assert await hear(opened, 1) == [("frame", 0, 0)]

    asyncio.run(scenario())


W = "blocks.0.weight"


def ask(step: int, tensor: str = W) -> str:
    return json.dumps({"type": "at", "tensor": tensor, "step": step})


def test_an_old_step_is_answered_with_that_tensor_alone_and_moves_nothing(api: RunningService) -> None:
    job = FedJob(api)

    async def scenario() -> None:
        async with viewer(api, job) as opened:
            await hear(opened, 1)
            await opened.send(ask(5))
            assert await hear(opened, 1) == [("past", "5", None, W, set())]
            await asyncio.to_thread(job.feed, 4)
            assert await hear(opened, 4) == [("frame", 0, seq) for seq in range(4)]
            for step, found in ((20, "20"), (39, "30"), (1, "10"), (10**9, "40")):
                await opened.send(ask(step))
                assert await hear(opened, 1) == [("past", str(step), found, W, {W})]
            await opened.send(ask(20, "no such tensor"))
            assert await hear(opened, 1) == [("past", "20", "20", "no such tensor", set())]
            await asyncio.to_thread(job.feed, 1)
            assert await hear(opened, 1) == [("frame", 0, 4)]

    asyncio.run(scenario())


def test_the_past_of_a_job_that_has_ended_is_there_and_a_flood_of_questions_waits(
    api: RunningService,
) -> None:
    job = FedJob(api)
    job.feed(3)
    job.end()

    async def scenario() -> None:
        async with viewer(api, job) as opened:
            await hear(opened, 2)
            begun = time.monotonic()
            for step in range(10, 30):
                await opened.send(ask(step))
            told = await hear(opened, 20)
            assert [found for _, _, found, *_ in told] == ["10"] * 10 + ["20"] * 10
            assert time.monotonic() - begun > 19 * 0.05

    asyncio.run(scenario())


def test_a_long_history_comes_thinned_and_smoothed_and_a_glance_short(api: RunningService) -> None:
    job = FedJob(api)
    points = [Point("loss", step, 5.0 + (step == 3000)) for step in range(1, 6001)]
    points += [Point(f"rate_p50/w{k}", step, 0.1) for k in range(5) for step in range(1, 101)]
    points += [Point("nonfinite/w3", 60, 2.0), Point("nonfinite/w3", 70, 0.0)]
    with Client(api.url, job.token) as client:
        client.put_frame(
            job.id, 0, 0, encode(Frame(job.id, 0, 0, 6000, 1.0, {}, Scalars.from_points(points)))
        )

    async def binary(opened: websockets.ClientConnection) -> bytes:
        while not isinstance(message := await asyncio.wait_for(opened.recv(), 20), bytes):
            pass
        return message

    async def scenario() -> None:
        async with viewer(api, job) as opened:
            history = await binary(opened)
            series = read_scalars(history).by_series()
            assert set(series) == {"loss", "loss~10", "loss~100", "loss~1000"}
            assert all(len(steps) <= 2000 for steps, _ in series.values())
            assert series["loss"][1].max() == 6.0
            assert metadata(history)["of"] == "history"
            assert json.loads(metadata(history)["thinned"]) == {"loss": 6000}
            await binary(opened)
            await opened.send('{"type":"glance","statistic":"rate_p50"}')
            glance = await binary(opened)
            assert (metadata(glance)["of"], metadata(glance)["statistic"]) == ("glance", "rate_p50")
            series = read_scalars(glance).by_series()
            assert set(series) == {"nonfinite/w3", *(f"rate_p50/w{k}" for k in range(5))}
            assert all(len(steps) <= 48 for steps, _ in series.values())

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("nonsense", "code"),
    [
        ("nonsense", 1008),
        ('{"type":"select"}', 1008),
        ('{"type":"select","tensor":"w","more":1}', 1008),
        ('{"tensor":"w"}', 1008),
        ('{"type":"at","tensor":"w"}', 1008),
        ('{"type":"at","tensor":"w","step":-1}', 1008),
        ('{"type":"at","tensor":"w","step":1e99}', 1008),
        ('{"type":"glance","statistic":"loss"}', 1008),
        ('{"type":"select","tensor":"' + 481 * "w" + '"}', 1008),
        (b'{"type":"select","tensor":"w"}', 1008),
        ("[" * 10_000, 1008),
        (17 * 1024 * "x", 1009),
    ],
    ids=range(12),
)
def test_nonsense_shuts_the_socket_it_came_from_and_no_other(
    api: RunningService, nonsense: str | bytes, code: int
) -> None:
    job = FedJob(api)

    async def scenario() -> None:
        async with viewer(api, job) as well, viewer(api, job) as ill:
            await hear(well, 1)
            await ill.send(nonsense)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await hear(ill, 2)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code
            await asyncio.to_thread(job.feed, 2)
            assert await hear(well, 2) == [("frame", 0, 0), ("frame", 0, 1)]

    asyncio.run(scenario())


@pytest.mark.parametrize("since", ["x", "1", "-1:0", "0:1:2"])
def test_a_malformed_place_opens_nothing(api: RunningService, since: str) -> None:
    job = FedJob(api)

    async def scenario() -> None:
        with pytest.raises(websockets.InvalidStatus):
            async with viewer(api, job, since=since):
                pass

    asyncio.run(scenario())


def test_one_viewer_too_many_is_sent_away_until_another_leaves(api: RunningService) -> None:
    job = FedJob(api)

    async def scenario() -> None:
        opened = [viewer(api, job) for _ in range(VIEWERS)]
        for each in opened:
            await hear(await each.__aenter__(), 1)
        async with viewer(api, job) as late:
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await late.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
            assert "at most 12 are allowed" in closed.value.rcvd.reason
        await opened.pop().__aexit__(None, None, None)
        deadline = time.monotonic() + 10
        while True:
            async with viewer(api, job) as late:
                try:
                    await hear(late, 1)
                    break
                except websockets.ConnectionClosed:
                    assert time.monotonic() < deadline
        for each in opened:
            await each.__aexit__(None, None, None)

    asyncio.run(scenario())


def silent(api: RunningService, request: str) -> socket.socket:
    """Sends a request and reads nothing, with the smallest buffer the system gives."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.connect(("127.0.0.1", api.port))
    opened.sendall(request.replace("\n", "\r\n").encode())
    return opened


def num_viewers(api: RunningService) -> int:
    with api.client as client:
        metrics = client._request("GET", "/metrics").text
        return int(float(re.findall(r"^sm3_viewers (\S+)", metrics, re.MULTILINE)[0]))


def wait_for_viewers(api: RunningService, expected: int) -> None:
    deadline = time.monotonic() + 30
    while num_viewers(api) != expected:
        assert time.monotonic() < deadline, num_viewers(api)
        time.sleep(0.1)


UPGRADE = """Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
"""


def test_viewers_that_never_read_are_cut_and_those_that_read_miss_nothing(api: RunningService) -> None:
    wait_for_viewers(api, 0)
    job = FedJob(api)
    path = address(api, job.id).partition(str(api.port))[2]
    asleep = [
        silent(api, f"GET {path} HTTP/1.1\nHost: 127.0.0.1\n{UPGRADE}\n"),
        silent(
            api,
            f"GET /v1/jobs/{job.id}/events.ndjson?follow=true&points=all HTTP/1.1\nHost: 127.0.0.1\n"
            f"Authorization: Bearer {api.token}\n\n",
        ),
    ]
    wait_for_viewers(api, 2)

    async def scenario() -> None:
        async with viewer(api, job) as opened:
            await hear(opened, 1)
            feeding = asyncio.create_task(asyncio.to_thread(job.feed, 45, size_bytes=400_000, tensors=300))
            assert await hear(opened, 45) == [("frame", 0, seq) for seq in range(45)]
            await feeding
            await asyncio.to_thread(wait_for_viewers, api, 1)

    asyncio.run(scenario())
    for each in asleep:
        each.close()

"""Malformed frames and WebSocket messages against a real service: refused, nothing changed, no hang."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import websockets

from tests.conftest import RunningService, tiny_job
from tests.fuzz.malformed import CHANGES, frames, good_frame, messages, raw_websocket
from tests.store_rows import rows

WAIT_S = 20.0


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that starts no workers, with one job that has one good frame."""
    folder: Path = tmp_path_factory.mktemp("malformed")
    running = RunningService(folder / "data", folder / "cache", environment={"SM3_SLOTS": "0"}).start()
    yield running
    running.stop()
    assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def job_id(idle: RunningService) -> str:
    with idle.client as client:
        job = client.launch(tiny_job())
        client.put_frame(job.id, 0, 0, good_frame(job.id, 0))
    return job.id


def refuse_frames(idle: RunningService, job_id: str, number: int, seed: int) -> Counter[int]:
    before, statuses = rows(idle.data_dir), Counter[int]()
    headers = {"Authorization": f"Bearer {idle.token}"}
    with httpx.Client(base_url=idle.url, headers=headers, timeout=WAIT_S, trust_env=False) as client:
        for name, seq, blob in frames(job_id, number, seed):
            answer = client.put(f"/v1/jobs/{job_id}/frames/0/{seq}", content=blob)
            assert answer.status_code in {413, 422}, (
                f"{name} (seq {seq}): {answer.status_code} {answer.text[:300]}"
            )
            assert answer.headers["content-type"] == "application/problem+json", name
            statuses[answer.status_code] += 1
        assert client.get("/readyz").status_code == 200
    assert rows(idle.data_dir) == before
    return statuses


async def drained(viewer: websockets.ClientConnection) -> None:
    """Reads until the service closes the connection."""
    with suppress(websockets.ConnectionClosed):
        while True:
            await viewer.recv()


async def refuse_messages(idle: RunningService, job_id: str, number: int, seed: int) -> Counter[int]:
    codes = Counter[int]()
    with idle.client as client:
        for message in messages(number, seed):
            address = (
                f"ws://127.0.0.1:{idle.port}/v1/jobs/{job_id}/live?ticket={client.ticket(job_id).ticket}"
            )
            async with websockets.connect(address, proxy=None) as viewer:
                await viewer.send(message)
                async with asyncio.timeout(WAIT_S):
                    await drained(viewer)
                codes[viewer.close_code or 0] += 1
    return codes


def break_protocol(idle: RunningService, job_id: str, number: int, seed: int) -> int:
    """Sends bytes that are no WebSocket frames; returns how many connections the service ended."""
    ended = 0
    with idle.client as client:
        for sent in raw_websocket(number, seed):
            ticket = client.ticket(job_id).ticket
            key = base64.b64encode(os.urandom(16)).decode()
            head = (
                f"GET /v1/jobs/{job_id}/live?ticket={ticket} HTTP/1.1\r\nHost: 127.0.0.1:{idle.port}\r\n"
                f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {key}\r\n\r\n"
            )
            with socket.create_connection(("127.0.0.1", idle.port), timeout=WAIT_S) as raw:
                raw.sendall(head.encode())
                assert raw.recv(12) == b"HTTP/1.1 101"
                raw.sendall(sent)
                raw.shutdown(socket.SHUT_WR)
                try:
                    while raw.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
                ended += 1
    return ended


def test_malformed_frames_are_refused_and_change_nothing(idle: RunningService, job_id: str) -> None:
    assert refuse_frames(idle, job_id, len(CHANGES), seed=0).total() == len(CHANGES)


def test_malformed_messages_end_their_own_connection_alone(idle: RunningService, job_id: str) -> None:
    before = rows(idle.data_dir)
    codes = asyncio.run(refuse_messages(idle, job_id, 16, seed=0))
    assert codes.total() == 16
    assert set(codes) <= {1007, 1008, 1009}
    assert break_protocol(idle, job_id, 11, seed=0) == 11
    assert rows(idle.data_dir) == before
    with idle.client as client:
        assert client.is_ready()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_malformed_frames_and_messages(idle: RunningService, job_id: str) -> None:
    before = rows(idle.data_dir)
    statuses = refuse_frames(idle, job_id, 1000, seed=1)
    codes = asyncio.run(refuse_messages(idle, job_id, 208, seed=1))
    ended = break_protocol(idle, job_id, 110, seed=1)
    print(f"frames {dict(statuses)}; messages {dict(codes)}; broken protocol: {ended} ended")
    assert (statuses.total(), codes.total(), ended) == (1000, 208, 110)
    assert rows(idle.data_dir) == before

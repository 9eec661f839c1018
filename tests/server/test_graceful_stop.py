"""SIGTERM while viewers watch and a worker sends: everyone gets a clean end, and the process ends with 0."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import httpx
import pytest
import websockets

from sm3.remote.client import Client, Unreachable
from sm3.remote.frames import decode, encode
from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job

STOP_LIMIT_S = 5.0  # the promise of docs/operation.md, and here the limit of waiting


@asynccontextmanager
async def sse(service: RunningService, job_id: str) -> AsyncIterator[httpx.Response]:
    headers = {"Authorization": f"Bearer {service.token}"}
    async with (
        httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30, trust_env=False) as client,
        client.stream("GET", f"/v1/jobs/{job_id}/events") as response,
    ):
        yield response


async def close_code(viewer: websockets.ClientConnection) -> int | None:
    """Reads to the end; returns how the socket was closed."""
    with suppress(websockets.ConnectionClosedError):  # what the library makes of 1012
        async for _ in viewer:
            pass
    return viewer.close_code


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_streams_and_sockets_cleanly_and_the_process_with_0(
    own_service: RunningService, sig: signal.Signals, request: pytest.FixtureRequest
) -> None:
    with own_service.client as client:
        job = client.launch(tiny_job(steps=100_000))
        own_service.wait_for(job.id, lambda j: j.progress.frames > 2)
        tickets = [client.ticket(job.id).ticket for _ in range(3)]
    # A connection that has sent nothing must not hold the stop up either.
    silent = socket.create_connection(("127.0.0.1", own_service.port))
    request.addfinalizer(silent.close)

    async def watch() -> tuple[list[str], list[int | None]]:
        address = f"ws://127.0.0.1:{own_service.port}/v1/jobs/{job.id}/live?ticket="
        sockets = [await websockets.connect(address + ticket, proxy=None) for ticket in tickets]
        never_reads = sockets.pop()
        async with sse(own_service, job.id) as first, sse(own_service, job.id) as second:
            lines = [response.aiter_lines() for response in (first, second)]
            for reader in lines:
                async for line in reader:
                    if line.startswith("event: frame"):
                        break
            for viewer in sockets:
                assert json.loads(await viewer.recv())["type"] == "job"
            assert own_service.process is not None
            own_service.process.send_signal(sig)
            # A stream that is cut rather than ended raises RemoteProtocolError here.
            read = [[line async for line in reader] for reader in lines]
            codes = []
            for viewer in sockets:
                codes.append(await close_code(viewer))
            never_reads.transport.abort()
        return [line for reader in read for line in reader], codes

    lines, codes = asyncio.run(watch())
    assert own_service.process is not None
    assert own_service.process.wait(STOP_LIMIT_S) == 0, own_service.log
    assert codes == [1012, 1012], "closed with a reason (service restart), not torn (1006)"
    assert lines[-1] == "", "the last event is whole: an empty line ends it"
    assert "Traceback" not in own_service.log
    assert "timeout graceful shutdown exceeded" not in own_service.log
    own_service.start()
    with own_service.client as client:
        kept = client.job(job.id)
        stopped = [
            change for change in client.transitions(job.id) if "the service was stopped" in change.cause
        ]
        assert [change.state for change in stopped] == [JobState.QUEUED], "it goes on with the next service"
        seqs = [frame.seq for frame in client.frames(job.id, limit=5000).items]
        client.cancel(job.id)
    assert seqs == list(range(len(seqs)))
    assert len(seqs) >= kept.progress.frames


def test_frames_that_a_client_sends_while_the_service_stops_are_stored_or_not_acknowledged(
    own_service: RunningService,
) -> None:
    with own_service.client as client:
        job = client.launch(tiny_job())
        own_service.wait_for(job.id, JobState.SUCCEEDED)
        blob = client.latest_frame(job.id)
    blobs = [renumbered(blob, seq) for seq in range(100, 2000)]
    acknowledged: list[int] = []
    going = threading.Event()

    def send() -> None:
        with Client(own_service.url, own_service.token) as sender:
            for seq, frame in enumerate(blobs, start=100):
                try:
                    sender.put_frame(job.id, 0, seq, frame)
                except Unreachable:
                    return
                acknowledged.append(seq)
                if len(acknowledged) == 20:
                    going.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert going.wait(30)
    assert own_service.process is not None
    own_service.process.send_signal(signal.SIGTERM)
    assert own_service.process.wait(STOP_LIMIT_S) == 0
    sender.join(30)
    own_service.start()
    with own_service.client as client:
        stored = {frame.seq for frame in client.frames(job.id, limit=5000).items}
    assert stored >= set(acknowledged)


def renumbered(blob: bytes, seq: int) -> bytes:
    return encode(replace(decode(blob), seq=seq))

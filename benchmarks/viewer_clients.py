"""One process of viewers: those that read note when each frame arrived, the others never read."""

from __future__ import annotations

import asyncio
import re
import resource
import socket
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import httpx
import numpy as np
import websockets

OPENING_AT_ONCE = 50
HEADER_BYTES = 32 * 1024
_FRAME_EVENT = re.compile(rb"id: -?\d+:\d+:(\d+)\r\nevent: frame\r\n")
_BLOB_SEQ = re.compile(rb'"seq":"(\d+)"')


@dataclass(frozen=True)
class Plan:
    """What a process of viewers does; picklable."""

    kind: str
    url: str
    token: str
    job_id: str
    total: int
    silent: int
    frames: int
    result: str


def main(plan: Plan, pipe: Connection) -> None:
    """Opens the viewers, says ``open``, and at ``stop`` saves when each frame reached each reader."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_run(plan, pipe))


async def _run(plan: Plan, pipe: Connection) -> None:
    arrivals = np.full((plan.total - plan.silent, plan.frames), np.nan)
    gate = asyncio.Semaphore(OPENING_AT_ONCE)
    opened = [asyncio.Event() for _ in arrivals]
    tickets = iter(await _tickets(plan, plan.total if plan.kind == "ws" else 0))
    readers = []
    for row, event in zip(arrivals, opened, strict=True):
        job = _read_events(plan, row, event, gate) if plan.kind == "sse" else _read_live(
            plan, row, event, gate, next(tickets)
        )  # fmt: skip
        readers.append(asyncio.create_task(job))
    for event in opened:
        await event.wait()
    silent = [_open_silent(plan, next(tickets, "")) for _ in range(plan.silent)]
    pipe.send("open")
    await asyncio.to_thread(pipe.recv)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    for each in silent:
        each.close()
    np.save(plan.result, arrivals)
    await asyncio.sleep(1)
    pipe.send("done")


async def _tickets(plan: Plan, count: int) -> list[str]:
    headers = {"Authorization": f"Bearer {plan.token}"}
    async with httpx.AsyncClient(base_url=plan.url, headers=headers, trust_env=False, timeout=30) as client:
        found = [await client.post(f"/v1/jobs/{plan.job_id}/tickets") for _ in range(count)]
    return [answer.json()["ticket"] for answer in found]


class _Events(asyncio.Protocol):
    """A minimal SSE reader: finds the frame events in what arrives."""

    def __init__(self, row: np.ndarray, opened: asyncio.Event) -> None:
        self.row, self.opened, self.rest = row, opened, b""
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self.opened.set()
        self.rest += data
        end = 0
        for match in _FRAME_EVENT.finditer(self.rest):
            self.row[int(match[1])] = now
            end = match.end()
        self.rest = self.rest[max(end, len(self.rest) - 200) :]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


def _request(plan: Plan, path: str, headers: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(plan.url).netloc}\r\n{headers}\r\n".encode()


async def _read_events(plan: Plan, row: np.ndarray, opened: asyncio.Event, gate: asyncio.Semaphore) -> None:
    place = urlsplit(plan.url)
    async with gate:
        transport, protocol = await asyncio.get_running_loop().create_connection(
            lambda: _Events(row, opened), place.hostname, place.port
        )
        transport.write(_events_request(plan))
        await opened.wait()
    try:
        await protocol.lost
    finally:
        transport.abort()


def _events_request(plan: Plan) -> bytes:
    return _request(plan, f"/v1/jobs/{plan.job_id}/events", f"Authorization: Bearer {plan.token}\r\n")


async def _read_live(
    plan: Plan, row: np.ndarray, opened: asyncio.Event, gate: asyncio.Semaphore, ticket: str
) -> None:
    address = f"{plan.url.replace('http', 'ws')}/v1/jobs/{plan.job_id}/live?ticket={ticket}"
    async with gate:
        socket_ = await websockets.connect(address, proxy=None, max_size=None, open_timeout=60)
    async with socket_:
        async for message in socket_:
            opened.set()
            if isinstance(message, bytes) and (found := _BLOB_SEQ.search(message[:HEADER_BYTES])):
                row[int(found[1])] = time.monotonic()


def _open_silent(plan: Plan, ticket: str) -> socket.socket:
    """Opens a viewer that asks and then never reads, with the smallest buffer the system gives."""
    place = urlsplit(plan.url)
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.connect((place.hostname, place.port))
    if plan.kind == "sse":
        opened.sendall(_events_request(plan))
        return opened
    upgrade = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    opened.sendall(_request(plan, f"/v1/jobs/{plan.job_id}/live?ticket={ticket}", upgrade))
    return opened

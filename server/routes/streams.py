"""``/events`` (SSE) and ``/live`` (WebSocket): a job as it happens.

SSE ids have the form ``transition:attempt:seq``: the newest of each that the reader has seen. A reader that
comes back with ``Last-Event-ID`` goes on exactly there, from the store, whatever the service did meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, WebSocket, WebSocketDisconnect
from pydantic import ValidationError
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from server.access import ANYONE, Principal
from server.auth import Scope, caller, needs
from server.hub import Cursor
from server.service import JobId, Service, ServiceDep
from server.store.frames import StoredFrame, is_job_wide
from sm3.remote.frames import Scalars, encode_scalars, read_header
from sm3.remote.wire import FrameEvent, Gap, JobMessage, JobState, JobView, Ping, Select, Transition

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["streams"])
_PAGE = 500
POLICY_VIOLATION = 1008


@router.get("/events", dependencies=[needs(Scope.VIEW)], response_class=EventSourceResponse)
async def events(
    here: ServiceDep,
    request: Request,
    job_id: JobId,
    follow: Annotated[bool, Query(description="false: end after what is there now")] = True,
    last_event_id: Annotated[str | None, Header(pattern=r"^-?\d{1,9}:-?\d{1,9}:-?\d{1,18}$")] = None,
) -> EventSourceResponse:
    """Streams the job's life as server-sent events.

    `state`: a change of state; `frame`: a frame was stored, with the newest job-wide scalars; `end`: nothing
    more will come. A comment line every few seconds shows that the connection is well.
    """
    await run_in_threadpool(here.jobs.get, job_id)
    start = tuple(map(int, last_event_id.split(":"))) if last_event_id else (-1, -1, -1)
    return EventSourceResponse(
        _events(here, caller(request), job_id, _Seen(*start), follow=follow),
        ping=max(1, int(here.settings.heartbeat_s)),
    )


@dataclass
class _Seen:
    """What an SSE reader has seen: the newest transition and the newest frame."""

    transition: int
    attempt: int
    seq: int

    def event(self, name: str, data: str) -> ServerSentEvent:
        return ServerSentEvent(data=data, event=name, id=f"{self.transition}:{self.attempt}:{self.seq}")

    def state(self, change: Transition) -> ServerSentEvent:
        self.transition = change.number
        return self.event("state", change.model_dump_json())

    def frame(self, attempt: int, seq: int, step: int, scalars: Scalars) -> ServerSentEvent:
        self.attempt, self.seq = attempt, seq
        values = {
            name: value if math.isfinite(value) else None
            for name, value in scalars.latest().items()
            if is_job_wide(name)
        }
        return self.event(
            "frame", FrameEvent(attempt=attempt, seq=seq, step=step, scalars=values).model_dump_json()
        )


async def _events(
    here: Service, who: Principal, job_id: str, seen: _Seen, *, follow: bool
) -> AsyncIterator[ServerSentEvent]:
    with here.hub.watch(job_id) as cursor:
        while not here.stopping.is_set():
            # Looked at first: what is stored until it has ended is part of the story.
            job = await run_in_threadpool(here.jobs.get, job_id)
            async for event in _stored(here, job_id, seen):
                yield event
            if job.state.is_final:
                yield seen.event("end", json.dumps({"state": job.state}))
                return
            if not follow or not await run_in_threadpool(here.access.holds, who):
                return
            async for event in _fresh(here, cursor, seen):
                yield event


async def _stored(here: Service, job_id: str, seen: _Seen) -> AsyncIterator[ServerSentEvent]:
    """Yields what the store has and the reader has not seen: frames first, then changes of state."""
    changes = await run_in_threadpool(here.jobs.transitions, job_id, after=seen.transition)
    if seen.transition < 0 and changes:
        yield seen.state(changes[0])
    while frames := await run_in_threadpool(
        here.frames.points, job_id, after=(seen.attempt, seen.seq), limit=_PAGE
    ):
        for attempt, seq, step, scalars in frames:
            yield seen.frame(attempt, seq, step, scalars)
    for change in changes:
        if change.number > seen.transition:
            yield seen.state(change)


async def _fresh(here: Service, cursor: Cursor, seen: _Seen) -> AsyncIterator[ServerSentEvent]:
    """Yields frames as they are published, until a change of state, a gap or time sends us back to the store."""
    loop = asyncio.get_running_loop()
    until = loop.time() + here.settings.heartbeat_s
    while not here.stopping.is_set() and loop.time() < until:
        if not await cursor.wait(here.settings.heartbeat_s):
            return
        items, missed = cursor.take()
        if missed:
            return
        for item in items:
            if isinstance(item, JobView):
                return
            header = item.header
            if (header.attempt, header.seq) == (seen.attempt, seen.seq + 1) or seen.seq < 0:
                yield seen.frame(header.attempt, header.seq, header.step, item.scalars)
            elif (header.attempt, header.seq) > (seen.attempt, seen.seq):
                return


@router.websocket("/live")
async def live(socket: WebSocket, here: ServiceDep, job_id: str, ticket: str = "") -> None:
    """Sends the job's state, history and newest frame, then every frame as it is stored."""
    who = here.tickets.redeem(ticket, job_id) if here.settings.auth else ANYONE
    if who is None or not await run_in_threadpool(here.access.holds, who):
        await socket.close(POLICY_VIOLATION, "the ticket is not valid (any more): ask for a new one")
        return
    await socket.accept()
    with here.hub.watch(job_id) as cursor:
        reader = asyncio.create_task(_answer_selections(socket, here, job_id))
        writer = asyncio.create_task(_send_live(socket, here, job_id, cursor))
        watch = asyncio.create_task(_until_revoked(socket, here, who))
        tasks = (reader, writer, watch)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, _GONE):
                    raise outcome


# What sending to, or receiving from, a viewer that has left raises.
_GONE = (WebSocketDisconnect, RuntimeError, asyncio.CancelledError)


async def _send_live(socket: WebSocket, here: Service, job_id: str, cursor: Cursor) -> None:
    state = await _send_job(socket, here, job_id)
    history = await run_in_threadpool(here.frames.history, job_id, job_wide=True)
    await socket.send_bytes(encode_scalars(history))
    sent = (-1, -1)
    if (blob := await run_in_threadpool(here.frames.newest, job_id)) is not None:
        header = read_header(blob)
        sent = (header.attempt, header.seq)
        await socket.send_bytes(blob)
    while not here.stopping.is_set():
        if not await cursor.wait(here.settings.heartbeat_s):
            await socket.send_text(Ping(server_time=datetime.now(UTC)).model_dump_json())
            # A supervisor in another process changes jobs without telling this one.
            if (await run_in_threadpool(here.jobs.get, job_id)).state is not state:
                state = await _send_job(socket, here, job_id)
            continue
        items, _ = cursor.take()
        if any(isinstance(item, JobView) for item in items):
            state = await _send_job(socket, here, job_id)
        for item in items:
            if isinstance(item, StoredFrame):
                key = (item.header.attempt, item.header.seq)
                if key <= sent:
                    continue
                if sent[0] == key[0] and key[1] > sent[1] + 1:
                    gap = Gap(attempt=key[0], first=sent[1] + 1, last=key[1] - 1)
                    await socket.send_text(gap.model_dump_json())
                await socket.send_bytes(item.blob)
                sent = key


async def _until_revoked(socket: WebSocket, here: Service, who: Principal) -> None:
    """Ends the connection once the token of whoever asked for its ticket is good no more."""
    while await run_in_threadpool(here.access.holds, who):
        await asyncio.sleep(here.settings.heartbeat_s)
    await socket.close(POLICY_VIOLATION, "the token by which this was opened is not valid any more")


async def _send_job(socket: WebSocket, here: Service, job_id: str) -> JobState:
    job = await run_in_threadpool(here.jobs.get, job_id)
    manifest = await run_in_threadpool(here.jobs.manifest, job_id)
    message = JobMessage(
        job=job, tensors=manifest.tensors if manifest else None, server_time=datetime.now(UTC)
    )
    await socket.send_text(message.model_dump_json())
    return job.state


async def _answer_selections(socket: WebSocket, here: Service, job_id: str) -> None:
    """Sends the history of each tensor that the viewer selects; ends when the viewer leaves."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            chosen = Select.model_validate_json(message.get("text") or b"")
        except ValidationError:
            await socket.close(POLICY_VIOLATION, 'expected {"type":"select","tensor":NAME}')
            return
        history = await run_in_threadpool(here.frames.history, job_id, job_wide=False)
        names = [name for name in history.names if name.partition("/")[2] == chosen.tensor]
        await socket.send_bytes(encode_scalars(history.select(names)))

"""``/live`` (WebSocket, binary): what the dashboard's live view follows.

A viewer gets the newest frame rather than every frame. What its curves need it gets all the same: the scalars of
the frames that were left out follow each ``gap``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from server import moves, thinning
from server.access import ANYONE, Principal
from server.hub import Cursor, StoreMoved, TooManyViewers
from server.service import Service, ServiceDep
from server.store import UnknownJob
from server.store.chunks import COUNTED
from server.store.frames import StoredFrame
from sm3.remote.frames import Scalars, answer_of, encode_scalars, read_header
from sm3.remote.live_specs import GlanceStatistic
from sm3.remote.wire import At, Gap, GapReason, Glance, JobMessage, Ping, ViewerMessage

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["streams"])
POLICY_VIOLATION, SERVICE_RESTART, TRY_AGAIN_LATER = 1008, 1012, 1013
FILL_FRAMES = 500
_BETWEEN_ANSWERS_S = 0.05
_SINCE = r"^\d{1,9}:\d{1,18}$"
_MESSAGES: TypeAdapter[ViewerMessage] = TypeAdapter(ViewerMessage)
_EXPECTED = 'expected {"type": "select" or "glance" or "at", …}: see docs/streams.md'
Key = tuple[int, int]

# What sending to, or receiving from, a viewer that has left raises; and what a store that is away raises.
_GONE = (WebSocketDisconnect, RuntimeError, SQLAlchemyError, UnknownJob)


@router.websocket("/live")
async def live(
    socket: WebSocket,
    here: ServiceDep,
    job_id: str,
    ticket: Annotated[str, Query(max_length=200)] = "",
    since: Annotated[str | None, Query(pattern=_SINCE)] = None,
    tensor: Annotated[str | None, Query(max_length=480)] = None,
) -> None:
    """Sends the job's state, history and newest frame, then frames as they are stored.

    ``since=attempt:seq`` is the newest frame that a viewer has which was here before: if few frames came since, it
    gets their scalars instead of all of its history. ``tensor`` is the one whose series it shows.
    """
    who = here.tickets.redeem(ticket, job_id) if here.settings.auth else ANYONE
    if who is None or not await run_in_threadpool(here.access.holds, who):
        await socket.close(POLICY_VIOLATION, "the ticket is not valid (any more): ask for a new one")
        return
    try:
        await run_in_threadpool(here.jobs.get, job_id)
    except UnknownJob as error:
        await socket.close(POLICY_VIOLATION, str(error)[:100])
        return
    await socket.accept()
    try:
        with here.hub.watch(job_id) as cursor:
            viewer = _Viewer(socket, here, job_id, cursor, who)
            await viewer.serve(_key(since) if since else None, tensor)
    except TooManyViewers as error:
        await socket.close(TRY_AGAIN_LATER, str(error)[:120])


class _Viewer:
    """One open socket: what it was sent, and what it asks for."""

    def __init__(self, socket: WebSocket, here: Service, job_id: str, cursor: Cursor, who: Principal) -> None:
        self.socket, self.here, self.job_id, self.cursor, self.who = socket, here, job_id, cursor, who
        self.once = cursor.channel.once
        self.sent: Key = (-1, -1)

    async def serve(self, since: Key | None, tensor: str | None) -> None:
        """Sends and answers until the viewer leaves or the service stops."""
        tasks = set(
            map(asyncio.create_task, (self._answer(), self._send(since, tensor), self._until_revoked()))
        )
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, _GONE):
                    raise outcome
        if self.here.stopping.is_set():
            with suppress(WebSocketDisconnect, RuntimeError):  # it left first
                await self.socket.close(SERVICE_RESTART, "the service is stopping")

    async def _until_revoked(self) -> None:
        """Ends the connection once the token of whoever asked for its ticket is good no more."""
        while await run_in_threadpool(self.here.access.holds, self.who):
            await asyncio.sleep(self.here.settings.heartbeat_s)
        await self.socket.close(POLICY_VIOLATION, "the token by which this was opened is not valid any more")

    # ── to the viewer

    async def _send(self, since: Key | None, tensor: str | None) -> None:
        await self._job()
        await self._begin(since, tensor)
        while not self.here.stopping.is_set():
            if not await self.cursor.wait(self.here.settings.heartbeat_s):
                await self.socket.send_text(Ping(server_time=datetime.now(UTC)).model_dump_json())
                continue
            items, missed = self.cursor.take()
            frames = [published.item for published in items if isinstance(published.item, StoredFrame)]
            if missed:  # it is slow: it gets the newest, not thirty more that are late
                del frames[:-1]
            if missed or any(not isinstance(published.item, StoredFrame) for published in items):
                await self._job()
            for frame in frames:
                await self._frame((frame.header.attempt, frame.header.seq), frame.blob)
            behind = missed or any(isinstance(published.item, StoreMoved) for published in items)
            if behind and (newest := await self._newest()) is not None:
                await self._frame(*newest)

    async def _job(self) -> None:
        await self.socket.send_text(await self.once("job message", self._read_job))

    def _read_job(self) -> str:
        manifest = self.here.jobs.manifest(self.job_id)
        return JobMessage(
            job=self.here.jobs.get(self.job_id),
            tensors=manifest.tensors if manifest else None,
            moves=moves.newest(self.here, self.job_id),
            server_time=datetime.now(UTC),
        ).model_dump_json()

    async def _newest(self) -> tuple[Key, bytes] | None:
        return await self.once("newest frame", self._read_newest)

    def _read_newest(self) -> tuple[Key, bytes] | None:
        blob = self.here.frames.newest(self.job_id)
        if blob is None:
            return None
        header = read_header(blob)
        return (header.attempt, header.seq), blob

    async def _begin(self, since: Key | None, tensor: str | None) -> None:
        """Sends the past, as much of it as the viewer lacks, and the newest frame."""
        # The frame is read before the history, so that no frame's scalars fall between the two.
        newest = await self._newest()
        if since is None or newest is None or not await self._continue(since, newest[0]):
            await self.socket.send_bytes(await self.once("history", self._read_history))
            if tensor is not None:
                await self._tensor(tensor)
        if newest is not None and newest[0] > self.sent:
            self.sent = newest[0]
            await self.socket.send_bytes(newest[1])

    async def _continue(self, since: Key, newest: Key) -> bool:
        """Sends the scalars of the few frames since ``since``; False, and nothing sent, if they are many."""
        if since > newest:
            return False
        skipped = await self.once(("since", since), lambda: self._read_skipped(since, FILL_FRAMES + 1))
        if len(skipped) > FILL_FRAMES:
            return False
        await self._fill(skipped, newest, GapReason.AWAY)
        self.sent = since
        return True

    async def _frame(self, key: Key, blob: bytes) -> None:
        """Sends a frame that is newer than what was sent, after the scalars of those left out between."""
        if key <= self.sent:
            return
        if key != (self.sent[0], self.sent[1] + 1) and key != (0, 0):
            await self._leave_out(key)
        await self.socket.send_bytes(blob)
        self.sent = key

    async def _leave_out(self, key: Key) -> None:
        """Tells, page by page, of the frames between what was sent and ``key``."""
        after = self.sent
        while after < key:
            page = await run_in_threadpool(self._read_skipped, after, FILL_FRAMES)
            await self._fill(page, key, GapReason.SLOW)
            if len(page) < FILL_FRAMES:
                return
            after = page[-1][0]

    async def _fill(self, skipped: list[tuple[Key, Scalars]], before: Key, reason: GapReason) -> None:
        """Tells of skipped frames older than ``before`` and sends their scalars."""
        skipped = [entry for entry in skipped if entry[0] < before]
        for gap in _gaps([key for key, _ in skipped], reason):
            await self.socket.send_text(gap.model_dump_json())
            self.here.measures.gaps.inc()
        if skipped:
            blob = await run_in_threadpool(lambda: encode_scalars(Scalars.concatenate(s for _, s in skipped)))
            await self.socket.send_bytes(blob)

    def _read_skipped(self, after: Key, limit: int) -> list[tuple[Key, Scalars]]:
        points = self.here.frames.points(self.job_id, after=after, limit=limit)
        return [((attempt, seq), scalars) for attempt, seq, _, scalars in points]

    def _read_history(self) -> bytes:
        return _encoded(self.here.frames.history(self.job_id, job_wide=True))

    # ── from the viewer

    async def _answer(self) -> None:
        """Sends each history and each old frame that the viewer asks for; ends when it leaves or talks nonsense."""
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                asked = _MESSAGES.validate_json(message.get("text") or b"")
            except ValidationError:
                await self.socket.close(POLICY_VIOLATION, _EXPECTED)
                return
            match asked:
                case At():
                    await self._past(asked)
                case Glance(statistic=statistic):
                    await self._glance(statistic.value)
                case _:
                    await self._tensor(asked.tensor)
            await asyncio.sleep(_BETWEEN_ANSWERS_S)  # each answer reads the store: a flood of questions waits

    async def _past(self, asked: At) -> None:
        await self.socket.send_bytes(await self.once(asked, lambda: self._read_past(asked)))

    def _read_past(self, asked: At) -> bytes:
        return answer_of(self.here.frames.at_step(self.job_id, asked.step), asked.tensor, asked.step)

    async def _tensor(self, name: str) -> None:
        await self.socket.send_bytes(await self.once(("tensor", name), lambda: self._read_tensor(name)))

    def _read_tensor(self, tensor: str) -> bytes:
        return _encoded(self.here.frames.tensor_history(self.job_id, tensor))

    async def _glance(self, statistic: str) -> None:
        answer = await self.once(("glance", statistic), lambda: self._read_glance(statistic))
        await self.socket.send_bytes(answer)

    def _read_glance(self, statistic: str) -> bytes:
        found = self.here.frames.glance(self.job_id, COUNTED | {GlanceStatistic.SATURATED, statistic})
        return encode_scalars(thinning.for_glance(found, statistic), of="glance", statistic=statistic)


def _encoded(history: Scalars) -> bytes:
    """Returns a history as it is sent: thinned, and saying of which series how many points there were."""
    thinned = thinning.for_charts(history)
    return encode_scalars(thinned.scalars, of="history", thinned=json.dumps(thinned.num_points))


def _gaps(keys: list[Key], reason: GapReason) -> Iterator[Gap]:
    """Yields one gap an attempt over ``keys``, ascending."""
    for attempt, group in groupby(keys, key=lambda key: key[0]):
        seqs = [seq for _, seq in group]
        yield Gap(attempt=attempt, first=seqs[0], last=seqs[-1], reason=reason)


def _key(text: str) -> Key:
    attempt, seq = text.split(":")
    return int(attempt), int(seq)

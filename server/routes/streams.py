"""``/events`` (SSE) and ``/events.ndjson``: a job's life, as it happens or as it happened.

Ids have the form ``transition:attempt:seq``: the newest of each that the reader has seen. A reader that comes
back with ``Last-Event-ID`` goes on exactly there, from the store, whatever the service did meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from server.access import Principal
from server.auth import Scope, caller, needs
from server.events import ID_PATTERN, Format, PointsMode, Position
from server.hub import TooManyViewers
from server.problems import Refusal
from server.service import JobId, Service, ServiceDep
from server.story import Story, with_tail
from server.stream_examples import NDJSON_EXAMPLE, SSE_EXAMPLE

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["streams"])
SSE, NDJSON = "text/event-stream", "application/x-ndjson"
# X-Accel-Buffering: a proxy (nginx's name for it) hands on what comes instead of collecting it.
_STREAMED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY_S = 5


def _answers(media_type: str, example: str) -> dict[int | str, dict[str, Any]]:
    # Of no type: OpenAPI 3.1 cannot say whether a stream or each of its events is meant.
    content = {media_type: {"schema": {"description": "see docs/streams.md"}, "example": example}}
    return {
        200: {"description": "the stream", "content": content},
        503: {"description": "as many viewers as are allowed; `Retry-After` says when to come again"},
    }


Tail = Annotated[
    int | None,
    Query(ge=0, le=100_000, description="begin with the newest so many frames; a given id goes before it"),
]
CatchUp = Annotated[
    bool,
    Query(
        description="true: a reader that falls behind gets every frame, late; false: it gets a `gap` that names "
        "what it missed, and goes on with the newest"
    ),
]


@router.get(
    "/events",
    dependencies=[needs(Scope.VIEW)],
    response_class=StreamingResponse,
    responses=_answers(SSE, SSE_EXAMPLE),
)
async def events(
    here: ServiceDep,
    job_id: JobId,
    request: Request,
    follow: Annotated[bool, Query(description="false: end after what is there now")] = True,
    tail: Tail = None,
    catch_up: CatchUp = True,
    last_event_id: Annotated[
        str | None, Header(pattern=ID_PATTERN, description="the newest id seen: go on behind it")
    ] = None,
) -> StreamingResponse:
    """Streams the job's life as server-sent events.

    * `state`: a change of state.
    * `frame`: a frame was stored, with the newest values of the job's own series.
    * `gap`: frames `first` to `last` of an attempt do not come: `absent` from the store, or, with
      `catch_up=false`, skipped because this reader was too `slow`.
    * `end`: the last event. `final: false` where `follow=false` ended the stream before the job ended.

    A comment line every few seconds without news shows that the connection is well. A stream that breaks off
    without `end` goes on with `Last-Event-ID`: nothing comes twice, nothing is left out.
    """
    story = await _story(
        here, job_id, last_event_id, tail, Format(sse=True), follow=follow, catch_up=catch_up
    )
    return StreamingResponse(_while_allowed(here, caller(request), story), media_type=SSE, headers=_STREAMED)


@router.get(
    "/events.ndjson",
    dependencies=[needs(Scope.VIEW)],
    response_class=StreamingResponse,
    responses=_answers(NDJSON, NDJSON_EXAMPLE),
)
async def export(
    here: ServiceDep,
    job_id: JobId,
    request: Request,
    follow: Annotated[bool, Query(description="true: go on until the job has ended")] = False,
    tail: Tail = None,
    after: Annotated[
        str | None, Query(pattern=ID_PATTERN, description="the newest id seen: go on behind it")
    ] = None,
    points: Annotated[
        PointsMode,
        Query(
            description="`latest`: of each frame the newest values of the job's own series; `job`: every point of "
            "these; `all`: every point of every series, those of tensors too"
        ),
    ] = PointsMode.LATEST,
) -> StreamingResponse:
    """Exports the same events as lines of JSON: `{"event": …, "id": …, "data": …}`.

    The answer is streamed page by page, so a job of any length takes little memory on both sides. With
    `follow=true` an empty line every few seconds without news shows that the connection is well.
    """
    story = await _story(here, job_id, after, tail, Format(sse=False, points=points), follow=follow)
    return StreamingResponse(
        _while_allowed(here, caller(request), story), media_type=NDJSON, headers=_STREAMED
    )


async def _while_allowed(here: Service, who: Principal, story: Story) -> AsyncIterator[bytes]:
    """Tells a story for as long as the token that asked for it is good; looked at once a heartbeat."""
    looked_s = time.monotonic()
    async for chunk in story.tell():
        if time.monotonic() - looked_s >= here.settings.heartbeat_s:
            if not await run_in_threadpool(here.access.holds, who):
                return
            looked_s = time.monotonic()
        yield chunk


async def _story(
    here: Service,
    job_id: str,
    seen: str | None,
    tail: int | None,
    written: Format,
    *,
    follow: bool,
    catch_up: bool = True,
) -> Story:
    """Returns the stream that was asked for; refuses unknown jobs and one viewer too many before it begins."""
    await run_in_threadpool(here.jobs.get, job_id)
    try:
        here.hub.require_room(job_id)
    except TooManyViewers as error:
        detail = f"{error}. Close one, or try again later."
        raise Refusal(
            503,
            "too-many-viewers",
            "Too many viewers",
            detail[0].upper() + detail[1:],
            {"Retry-After": str(_RETRY_S)},
        ) from error
    position = Position.parse(seen) if seen else Position()
    story = Story(here, job_id, position, written, follow=follow, catch_up=catch_up)
    if tail is not None and not seen:
        return await run_in_threadpool(with_tail, story, tail)
    return story

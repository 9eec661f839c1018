"""What OpenAPI and ``docs/streams.md`` show of the streams is what they send."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest
from httpx_sse import EventSource
from pydantic import BaseModel, TypeAdapter

from server.events import ID_PATTERN
from server.stream_examples import NDJSON_EXAMPLE, SSE_EXAMPLE
from sm3.remote.wire import EndEvent, FrameEvent, Gap, LiveMessage, Transition, ViewerMessage

PAGE = (Path(__file__).parents[2] / "docs" / "streams.md").read_text()
MODELS: dict[str, type[BaseModel]] = {"state": Transition, "frame": FrameEvent, "gap": Gap, "end": EndEvent}


def exact(name: str, data: str) -> None:
    """Fails unless ``data`` is all of what an event ``name`` says."""
    event = MODELS[name].model_validate_json(data)
    fields = set(MODELS[name].model_fields) - {"type"}
    assert set(json.loads(data)) in (fields, fields - {"points"})
    assert event


def test_the_sse_example_has_every_event() -> None:
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text=SSE_EXAMPLE)
    events = [event for event in EventSource(response).iter_sse() if event.data]
    assert {event.event for event in events} == set(MODELS)
    for event in events:
        exact(event.event, event.data)
        assert re.match(ID_PATTERN, event.id)


def test_the_ndjson_example_is_lines_of_events() -> None:
    lines = [json.loads(line) for line in NDJSON_EXAMPLE.splitlines()]
    for line in lines:
        assert set(line) == {"event", "id", "data"}
        exact(line["event"], json.dumps(line["data"]))


def test_openapi_shows_the_examples(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    for path, media_type, example in (
        ("events", "text/event-stream", SSE_EXAMPLE),
        ("events.ndjson", "application/x-ndjson", NDJSON_EXAMPLE),
    ):
        answers = paths[f"/v1/jobs/{{job_id}}/{path}"]["get"]["responses"]
        assert answers["200"]["content"][media_type]["example"] == example
        assert "503" in answers


def test_the_page_tells_every_event() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\{.*?\})` \|", PAGE, re.MULTILINE)
    assert [name for name, _ in rows] == list(MODELS)
    for name, data in rows:
        exact(name, data)


@pytest.mark.parametrize("text", re.findall(r'`(\{"type": "(?:gap|ping)".*?\})`', PAGE))
def test_the_pages_messages_are_messages(text: str) -> None:
    filled = text.replace("…", '"2026-01-05T10:00:03Z"')
    TypeAdapter(LiveMessage).validate_json(filled)


def test_the_page_tells_what_a_viewer_may_send() -> None:
    texts = re.findall(r'`(\{"type": "(?:select|at)".*?\})`', PAGE)
    told = [
        TypeAdapter(ViewerMessage).validate_json(text.replace("NAME", '"w"').replace("N}", "7}"))
        for text in texts
    ]
    assert [(message.type, message.tensor) for message in told] == [("select", "w"), ("at", "w")]


def test_the_page_tells_every_parameter(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    for path in ("events", "events.ndjson"):
        for parameter in paths[f"/v1/jobs/{{job_id}}/{path}"]["get"]["parameters"]:
            if parameter["in"] == "query":
                assert re.search(rf"`{parameter['name']}[=`]", PAGE), parameter["name"]

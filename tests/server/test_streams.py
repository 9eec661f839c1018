"""SSE and NDJSON: everything once, from anywhere, whatever happens to the service."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sm3.remote.client import Client, Event, ServiceError
from sm3.remote.frames import decode
from sm3.remote.wire import JobState
from tests.conftest import RunningService
from tests.server.fed import FedJob

SETTINGS = {"SM3_SLOTS": "0", "SM3_MAX_VIEWERS": "4", "SM3_MAX_VIEWERS_PER_JOB": "3"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[RunningService]:
    """A service that runs no workers and lets few viewers in."""
    running = RunningService(tmp_path_factory.mktemp("api"), cache_dir, environment=SETTINGS).start()
    yield running
    running.stop()
    assert "Traceback" not in running.log


@pytest.fixture
def client(api: RunningService) -> Iterator[Client]:
    with api.client as client:
        yield client


def keys(events: list[Event]) -> list[tuple[int, int]]:
    return [(e.data["attempt"], e.data["seq"]) for e in events if e.name == "frame"]


def plain(api: RunningService) -> httpx.Client:
    headers = {"Authorization": f"Bearer {api.token}"}
    return httpx.Client(base_url=api.url, headers=headers, timeout=30, trust_env=False)


def test_a_story_of_two_attempts_goes_on_behind_any_of_its_events(
    api: RunningService, client: Client
) -> None:
    job = FedJob(api)
    job.feed(3)
    job.next_attempt()
    job.feed(2)
    job.end()
    events = list(client.events(job.id))
    assert keys(events) == job.keys == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert [e.data["state"] for e in events if e.name == "state"] == [
        "queued", "starting", "running", "succeeded",
    ]  # fmt: skip
    assert events[-1] == Event("end", events[-2].id, {"state": "succeeded", "final": True})
    for number, event in enumerate(events[:-1]):
        assert list(client.events(job.id, last_event_id=event.id)) == events[number + 1 :]


def test_long_stories_come_in_pages_without_seams(api: RunningService, client: Client) -> None:
    job = FedJob(api)
    job.feed(450)
    job.end()
    assert keys(list(client.events(job.id))) == job.keys
    assert keys(list(client.export(job.id))) == job.keys


@pytest.mark.parametrize("newest", [0, 1, 4, 5, 99])
def test_a_tail_is_the_newest_frames_and_then_the_end(
    api: RunningService, client: Client, newest: int
) -> None:
    job = FedJob(api)
    job.feed(3)
    job.next_attempt()
    job.feed(2)
    events = list(client.events(job.id, follow=False, tail=newest))
    assert keys(events) == (job.keys[-newest:] if newest else [])
    assert events[-1].name == "end"
    assert events[-1].data == {"state": "running", "final": False}
    assert [e.name for e in events].count("gap") == 0
    assert list(client.export(job.id, tail=newest)) == events


def test_an_id_goes_before_a_tail(api: RunningService, client: Client) -> None:
    job = FedJob(api)
    job.feed(5)
    events = list(client.events(job.id, follow=False, last_event_id="2:0:1", tail=1))
    assert keys(events) == job.keys[2:]


def test_a_reader_hears_every_frame_once_over_a_killed_and_a_stopped_service(
    tmp_path: Path, cache_dir: Path
) -> None:
    mine = RunningService(tmp_path / "data", cache_dir, environment=SETTINGS).start()
    job = FedJob(mine)
    heard: list[Event] = []

    def watch() -> None:
        with mine.client as client:
            heard.extend(client.events(job.id))

    watching = threading.Thread(target=watch)
    watching.start()
    feeding = threading.Thread(target=job.feed, args=(300,))
    feeding.start()
    for sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        time.sleep(0.5)
        mine.stop(sig)
        mine.start()
    feeding.join(60)
    job.end()
    watching.join(60)
    mine.stop()
    assert keys(heard) == [(0, seq) for seq in range(300)]
    assert [e.data["state"] for e in heard if e.name == "state"][-2:] == ["running", "succeeded"]
    assert heard[-1].data == {"state": "succeeded", "final": True}
    assert len({(e.name, e.id) for e in heard}) == len(heard)


def test_frames_that_are_not_there_any_more_are_told_as_a_gap(api: RunningService, client: Client) -> None:
    job = FedJob(api)
    job.feed(6)
    job.forget_frames(below=4)
    events = list(client.events(job.id, follow=False))
    (gap,) = [e for e in events if e.name == "gap"]
    assert gap.data == {"attempt": 0, "first": 0, "last": 3, "reason": "absent"}
    assert keys(events) == [(0, 4), (0, 5)]
    later = list(client.events(job.id, follow=False, last_event_id="2:0:1"))
    assert later[0].data == {"attempt": 0, "first": 2, "last": 3, "reason": "absent"}
    behind = list(client.events(job.id, follow=False, last_event_id=gap.id))
    assert behind == events[events.index(gap) + 1 :]


def test_a_line_of_the_export_is_an_event_and_has_the_points_that_were_asked_for(
    api: RunningService, client: Client
) -> None:
    job = FedJob(api)
    job.feed(3)
    job.end()
    events = list(client.events(job.id))
    with plain(api) as http:
        answer = http.get(f"/v1/jobs/{job.id}/events.ndjson")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == [{"event": e.name, "id": e.id, "data": e.data} for e in events]
    by_mode = {mode: list(client.export(job.id, points=mode)) for mode in ("job", "all")}
    for seq in range(3):
        told = decode(client.frame(job.id, 0, seq)).scalars.by_series()
        for mode, exported in by_mode.items():
            (event,) = [e for e in exported if e.name == "frame" and e.data["seq"] == seq]
            expected = {
                name: {"steps": steps.tolist(), "values": values.tolist()}
                for name, (steps, values) in told.items()
                if mode == "all" or "/" not in name
            }
            assert event.data["points"] == expected


def test_an_export_can_follow(api: RunningService) -> None:
    job = FedJob(api)
    job.feed(2)
    with plain(api) as http, http.stream("GET", f"/v1/jobs/{job.id}/events.ndjson?follow=true") as answer:
        lines = (json.loads(line) for line in answer.iter_lines() if line)
        begin = [next(lines) for _ in range(5)]
        assert [line["event"] for line in begin] == ["state", "frame", "frame", "state", "state"]
        job.feed(1)
        assert next(lines)["data"]["seq"] == 2
        job.end()
        assert [line["event"] for line in lines] == ["state", "end"]


def test_a_silent_stream_shows_signs_of_life(api: RunningService) -> None:
    job = FedJob(api)
    with plain(api) as http, http.stream("GET", f"/v1/jobs/{job.id}/events") as answer:
        assert next(line for line in answer.iter_lines() if line.startswith(":")) == ": well"


def test_what_another_process_does_to_a_watched_job_is_heard(tmp_path: Path, cache_dir: Path) -> None:
    settings = SETTINGS | {"SM3_HEARTBEAT_S": "30"}  # signs of life have no part in it
    mine = RunningService(tmp_path / "data", cache_dir, environment=settings).start()
    job = FedJob(mine)
    with mine.client as client:
        events = client.events(job.id)
        assert [next(events).name for _ in range(3)] == ["state"] * 3
        job.store_elsewhere()
        assert next(events).data["seq"] == 0
        job.store_elsewhere()
        job.feed(1)
        assert [next(events).data["seq"] for _ in range(2)] == [1, 2]
        job.move(JobState.CANCELLING)
        assert next(events).data["state"] == "cancelling"
        job.delete()
        assert [e.data for e in events] == [{"state": None, "final": True}]
    mine.stop()
    assert "Traceback" not in mine.log


def test_one_viewer_too_many_is_refused_until_another_leaves(api: RunningService, client: Client) -> None:
    job = FedJob(api)
    streams = [client.events(job.id) for _ in range(3)]
    for stream in streams:
        next(stream)
    with plain(api) as http:
        refused = http.get(f"/v1/jobs/{job.id}/events")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"
        assert refused.json()["type"] == "urn:sm3-scope:problem:too-many-viewers"
        assert "This job has 3 viewers; at most 3 are allowed" in refused.json()["detail"]
        streams.pop().close()
        deadline = time.monotonic() + 10
        while http.get(f"/v1/jobs/{job.id}/events?follow=false").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    for stream in streams:
        stream.close()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("events?tail=-1", {}),
        ("events?tail=x", {}),
        ("events", {"Last-Event-ID": "1:2"}),
        ("events.ndjson?after=nonsense", {}),
        ("events.ndjson?points=some", {}),
    ],
)
def test_nonsense_is_refused_before_a_stream_begins(
    api: RunningService, path: str, headers: dict[str, str]
) -> None:
    job = FedJob(api)
    with plain(api) as http:
        answer = http.get(f"/v1/jobs/{job.id}/{path}", headers=headers)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert http.get(f"/v1/jobs/nowhere/{path.partition('?')[0]}").status_code == 404


def test_an_unknown_job_has_no_events(client: Client) -> None:
    with pytest.raises(ServiceError, match="no job"):
        next(client.events("nowhere"))

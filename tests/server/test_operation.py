"""Health, metrics and request ids over a real uvicorn."""

from __future__ import annotations

import json
import re
import time

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from sm3.remote.client import Client
from sm3.remote.health_views import Ready, Verdict
from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job


def samples(http: httpx.Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = http.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_readiness_lists_every_check_and_needs_no_token(service: RunningService) -> None:
    with httpx.Client(base_url=service.url, trust_env=False) as stranger:
        ready = Ready.model_validate(stranger.get("/readyz").json())
        health = stranger.get("/healthz").json()
    assert {check.name for check in ready.checks} == {"store", "disk of the data folder", "supervisor"}
    assert all(check.verdict is Verdict.OK for check in ready.checks)
    assert health["status"] == "ok"


def test_health_tells_strangers_no_path_job_or_token(service: RunningService, done: JobView) -> None:
    with httpx.Client(base_url=service.url, trust_env=False) as stranger:
        told = stranger.get("/readyz").text + stranger.get("/healthz").text
    for secret in (str(service.data_dir), done.id, service.token):
        assert secret not in told


def test_metrics_count_jobs_frames_and_requests(
    http: httpx.Client, service: RunningService, done: JobView
) -> None:
    before = samples(http)
    with service.client as client:
        blob = client.latest_frame(done.id)
        client.put_frame(done.id, 0, done.progress.frames - 1, blob)
    refused = http.put(f"/v1/jobs/{done.id}/frames/0/999", content=blob)
    assert refused.status_code == 422
    for _ in range(3):
        http.get("/v1/jobs/nobody")
    after = samples(http)

    def grew(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0.0)

    frame_route = "/v1/jobs/{job_id}/frames/{attempt}/{seq}"
    assert grew("sm3_frames_ingested_total", result="repeat") == 1
    assert grew("sm3_frames_ingested_total", result="new") == 0
    assert grew("sm3_frames_refused_total", reason="invalid-frame") == 1
    assert grew("sm3_http_requests_total", method="GET", route="/v1/jobs/{job_id}", status="404") == 3
    assert grew("sm3_http_requests_total", method="PUT", route=frame_route, status="422") == 1
    assert grew("sm3_frame_ingest_seconds_count") == 1
    assert after["sm3_transitions_total", (("state", "succeeded"),)] >= 1
    assert after["sm3_jobs", (("state", "succeeded"),)] >= 1
    assert after["sm3_frames_ingested_total", (("result", "new"),)] >= done.progress.frames
    assert after["sm3_frame_bytes_ingested_total", ()] >= len(blob)
    assert after["sm3_queue_wait_seconds_count", ()] == after["sm3_attempts_total", ()] >= 1
    assert after["sm3_store_bytes", ()] > 100_000
    assert after["sm3_slots", ()] == 1


def test_a_stranger_cannot_make_the_number_of_series_grow(
    http: httpx.Client, service: RunningService
) -> None:
    def routes() -> set[tuple[tuple[str, str], ...]]:
        return {labels for name, labels in samples(http) if name == "sm3_http_requests_total"}

    with httpx.Client(base_url=service.url, trust_env=False) as stranger:
        stranger.get("/nowhere/0")
        stranger.request("BREW", "/nowhere")
        known = routes()
        for number in range(20):
            stranger.get(f"/nowhere/{number}?x={number}")
            stranger.get(f"/v1/jobs/{number}/frames/{number}/{number}")
            stranger.request(f"BREW{number}", "/nowhere")
    new = routes() - known
    assert len(new) == 1, new  # the template of the frames' route, asked for without a token
    assert dict(next(iter(new)))["route"] == "/v1/jobs/{job_id}/frames/{attempt}/{seq}"


def test_openmetrics_is_answered_to_who_asks_for_it(http: httpx.Client) -> None:
    answer = http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {"sm3_build", "sm3_jobs"} <= {family.name for family in openmetrics_families(answer.text)}


def test_viewers_are_counted_while_they_watch(http: httpx.Client, service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=100_000))
        service.wait_for(job.id, lambda j: j.progress.frames > 1)
        before = samples(http)["sm3_viewers", ()]
        stream = client.events(job.id)
        next(stream)
        during = samples(http)
        assert during["sm3_viewers", ()] == before + 1
        assert during["sm3_slots_used", ()] >= 1
        stream.close()
        client.cancel(job.id)
        service.wait_for(job.id, JobState.CANCELLED)


@pytest.mark.parametrize("given", ["abc-1", "A.b_c-9", "x" * 64])
def test_a_well_formed_request_id_is_kept_and_stands_in_problem_and_log(
    http: httpx.Client, service: RunningService, given: str
) -> None:
    answer = http.get("/v1/jobs/nobody", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given
    assert answer.json()["request_id"] == given
    line = logged(service, given)
    assert (line["event"], line["level"], line["job"], line["problem"]) == (
        "request",
        "info",
        "nobody",
        "not-found",
    )


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a/b", 'a"b', "é".encode().decode("latin-1")])
def test_any_other_request_id_is_replaced(http: httpx.Client, given: str) -> None:
    answer = http.get("/healthz", headers={"X-Request-ID": given.encode("latin-1")})
    assert answer.headers["x-request-id"] != given
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])


def log_of(service: RunningService) -> list[dict]:
    return [json.loads(line) for line in service.log.splitlines()]


def logged(service: RunningService, request_id: str) -> dict:
    """Returns the one line about a request, which is written after the client has its answer."""
    deadline = time.monotonic() + 10.0
    while True:
        # Whole lines alone: one may be in the middle of being written.
        lines = [json.loads(line) for line in service.log.splitlines(keepends=True) if line.endswith("\n")]
        found = [line for line in lines if line.get("request_id") == request_id]
        if found:
            (line,) = found
            return line
        assert time.monotonic() < deadline, service.log
        time.sleep(0.05)


def test_every_line_of_the_log_is_json_and_none_holds_a_token(service: RunningService, done: JobView) -> None:
    with service.client as client:
        client.ticket(done.id)
    with (
        Client(service.url, "sm3_" + "wrong-token-" + "z" * 31) as stranger,
        pytest.raises(Exception, match="Bearer"),
    ):
        stranger.jobs()
    lines = log_of(service)
    assert all({"time", "level", "event"} <= set(line) for line in lines)
    started = [line for line in lines if line["event"] == "worker started" and line["job"] == done.id]
    assert [line["attempt"] for line in started] == [0]
    for secret in (service.token, "wrong-token-" + "z" * 31, "sm3i_"):
        assert secret not in service.log

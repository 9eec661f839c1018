"""The jobs API as a client meets it; nothing runs here, since the service has no slots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from server import checkpoint_files
from server.app import create_app
from server.examples import CLONE_EXAMPLES, PATCH_EXAMPLES
from server.service import Service
from server.settings import Settings
from sm3.remote.wire import JobState
from tests.conftest import tiny_job

PROBLEM = "urn:sm3-scope:problem:"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service.open(Settings(data_dir=tmp_path, slots=0, max_queued=4))


@pytest.fixture
def http(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url="http://127.0.0.1:8000") as client:
        client.headers |= {
            "Host": "127.0.0.1:8000",
            "Authorization": f"Bearer {service.settings.admin_token()}",
        }
        yield client


def body(**changes: Any) -> dict[str, Any]:
    return tiny_job(**changes).model_dump(mode="json")


def launched(http: TestClient, **changes: Any) -> dict[str, Any]:
    answer = http.post("/v1/jobs", json=body(**changes))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(http: TestClient, **query: Any) -> list[str]:
    return [job["id"] for job in http.get("/v1/jobs", params=query).json()["items"]]


def problem(answer: Any, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["type"] == PROBLEM + slug
    return found


def test_the_same_key_and_body_is_the_same_job_with_200(http: TestClient) -> None:
    headers = {"Idempotency-Key": "figure-3"}
    first = http.post("/v1/jobs", json=body(), headers=headers)
    again = http.post("/v1/jobs", json=dict(reversed(body().items())), headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == again.headers["location"]
    refused = problem(
        http.post("/v1/jobs", json=body(steps=7), headers=headers), 422, "idempotency-key-reused"
    )
    assert "'figure-3' came before with another body" in refused["detail"]
    assert len(ids(http)) == 1


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "ünïcode"])
def test_a_key_that_is_none_is_refused(http: TestClient, key: str) -> None:
    answer = http.post("/v1/jobs", json=body(), headers={"Idempotency-Key": key.encode()})
    problem(answer, 422, "invalid-request")
    assert ids(http) == []


def test_a_full_queue_says_when_to_come_again(http: TestClient) -> None:
    for _ in range(4):
        launched(http)
    answer = http.post("/v1/jobs", json=body())
    found = problem(answer, 429, "queue-full")
    assert "4 jobs wait and 1 more was asked for; at most 4 may wait" in found["detail"]
    assert answer.headers["retry-after"] == "30"
    clone = http.post(f"/v1/jobs/{ids(http)[0]}/clone", json={})
    problem(clone, 429, "queue-full")
    assert len(ids(http)) == 4


def test_lists_take_all_filters_and_say_what_is_wrong_with_one(http: TestClient) -> None:
    one = launched(http, labels={"course": "demo"})["id"]
    two = launched(http, recipe={"name": "images"}, labels={"course": "other"})["id"]
    http.patch(f"/v1/jobs/{one}", json={"notes": "Figure 3"})
    http.post(f"/v1/jobs/{two}/cancel")
    assert ids(http, label="course") == [two, one]
    assert ids(http, label="course:demo") == [one]
    assert ids(http, state=["cancelled", "failed"]) == [two]
    assert ids(http, recipe="images") == [two]
    assert ids(http, q="figure") == [one]
    assert ids(http, comparison="none") == []
    for query in (
        {"state": "lost"},
        {"recipe": "cakes"},
        {"label": "No:Such"},
        {"limit": 0},
        {"q": "x" * 201},
    ):
        problem(http.get("/v1/jobs", params=query), 422, "invalid-request")


def test_pausing_and_resuming_answer_with_the_job_and_refuse_what_its_state_does_not_allow(
    http: TestClient, service: Service
) -> None:
    job = launched(http)["id"]
    assert http.post(f"/v1/jobs/{job}/pause").json()["state"] == "paused"
    assert http.post(f"/v1/jobs/{job}/resume").json()["state"] == "queued"
    service.jobs.claim("d")
    assert http.post(f"/v1/jobs/{job}/pause").json()["state"] == "pausing"
    found = problem(http.post(f"/v1/jobs/{job}/resume"), 409, "illegal-move")
    assert "a job that is pausing cannot become queued" in found["detail"]
    problem(http.post("/v1/jobs/nobody/pause"), 404, "not-found")
    http.post(f"/v1/jobs/{job}/cancel")
    problem(http.post(f"/v1/jobs/{job}/pause"), 409, "illegal-move")
    assert service.jobs.get(job).state is JobState.CANCELLING


def test_a_clone_is_the_job_with_a_merge_patch_and_its_labels_of_now(http: TestClient) -> None:
    job = launched(http, labels={"a": "1"}, priority=2)["id"]
    http.patch(f"/v1/jobs/{job}", json={"labels": {"b": "2"}})
    answer = http.post(f"/v1/jobs/{job}/clone", json={"change": {"steps": 9, "optimizer": {"name": "adamw"}}})
    assert answer.status_code == 201
    clone = answer.json()
    assert (clone["cloned_from"], clone["labels"], clone["priority"]) == (job, {"b": "2"}, 2)
    assert (clone["spec"]["steps"], clone["spec"]["optimizer"]["name"]) == (9, "adamw")
    assert clone["spec"]["seed"] == 0
    refused = problem(
        http.post(f"/v1/jobs/{job}/clone", json={"change": {"steps": -1, "nothing": 1}}),
        422,
        "invalid-request",
    )
    assert {fault["field"] for fault in refused["errors"]} == {"change.steps", "change.nothing"}
    assert len(ids(http)) == 2


def test_only_a_job_that_has_ended_is_deleted_and_then_it_is_gone(http: TestClient) -> None:
    job = launched(http)["id"]
    found = problem(http.delete(f"/v1/jobs/{job}"), 409, "not-ended")
    assert "the job is queued: cancel it and wait for its end" in found["detail"]
    http.post(f"/v1/jobs/{job}/cancel")
    answer = http.delete(f"/v1/jobs/{job}")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(http.delete(f"/v1/jobs/{job}"), 404, "not-found")
    assert ids(http) == []


def test_checkpoints_are_listed_and_their_weights_handed_out_and_no_path_leads_elsewhere(
    http: TestClient, service: Service
) -> None:
    job = launched(http)["id"]
    assert http.get(f"/v1/jobs/{job}/checkpoints").json() == {"items": []}
    for step in (5, 10):
        with checkpoint_files.publishing(service.checkpoints_dir(job), step) as folder:
            (folder / checkpoint_files.MODEL).write_bytes(b"weights of %d" % step)
    listed = http.get(f"/v1/jobs/{job}/checkpoints").json()["items"]
    assert [(found["step"], found["model_bytes"]) for found in listed] == [(10, 13), (5, 12)]
    answer = http.get(f"/v1/jobs/{job}/checkpoints/5/model")
    assert answer.content == b"weights of 5"
    assert answer.headers["content-type"] == "application/vnd.safetensors"
    problem(http.get(f"/v1/jobs/{job}/checkpoints/6/model"), 404, "not-found")
    for step in ("..%2f..", "-1", "0", "x"):
        assert http.get(f"/v1/jobs/{job}/checkpoints/{step}/model").status_code in {404, 422}


def test_a_wrong_method_names_all_that_are_right(http: TestClient) -> None:
    job = launched(http)["id"]
    answer = http.put(f"/v1/jobs/{job}")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "DELETE, GET, PATCH"


def test_the_examples_of_the_documentation_work(http: TestClient) -> None:
    job = launched(http)["id"]
    for example in PATCH_EXAMPLES.values():
        assert http.patch(f"/v1/jobs/{job}", json=example["value"]).status_code == 200
    for example in CLONE_EXAMPLES.values():
        assert http.post(f"/v1/jobs/{job}/clone", json=example["value"]).status_code == 201

"""The REST API over a real uvicorn."""

from __future__ import annotations

import json

import httpx
import pytest

from server.examples import JOB_EXAMPLES
from sm3.remote.client import Client, ServiceError, Unreachable
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job

MINIMAL = {"recipe": {"name": "language-model"}}


def problem(response: httpx.Response, status: int) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["status"] == status
    assert found["type"].startswith("urn:sm3-scope:problem:")
    assert found["detail"]
    return found


def num_jobs(http: httpx.Client) -> int:
    return len(http.get("/v1/jobs", params={"limit": 500}).json()["items"])


@pytest.mark.parametrize(
    ("body", "field", "given", "allowed"),
    [
        ({}, "recipe", "nothing", "required"),
        ({"recipe": {"name": "chess"}}, "recipe.name", "chess", "'language-model'"),
        ({**MINIMAL, "steps": 0}, "steps", 0, "greater than or equal to 1"),
        ({**MINIMAL, "stepz": 5}, "stepz", 5, "no such field"),
        ({**MINIMAL, "optimizer": {"name": "sm3", "lr": -1}}, "optimizer.lr", -1, "greater than 0"),
        ({**MINIMAL, "optimizer": {"name": "sm4"}}, "optimizer.name", "sm4", "'sm3', 'adamw'"),
        ({"recipe": {"name": "language-model", "size": "huge"}}, "recipe.size", "huge", "'tiny'"),
        (
            {**MINIMAL, "schedule": {"warmup": 0.7, "cooldown": 0.7}},
            "schedule",
            "dict",
            "not add up to more than 1",
        ),
        ({**MINIMAL, "record": {"probes": ["crystal-ball"]}}, "record.probes.0", "crystal-ball", "'rates'"),
        ({**MINIMAL, "seed": 2**63}, "seed", 2**63, "less than"),
        ({**MINIMAL, "labels": {"Bad Key": "x"}}, "labels.Bad Key.[key]", "Bad Key", "pattern"),
    ],
)
def test_a_faulty_job_is_refused_naming_field_given_and_allowed(
    http: httpx.Client, body: dict, field: str, given: object, allowed: str
) -> None:
    before = num_jobs(http)
    found = problem(http.post("/v1/jobs", json=body), 422)
    named = {fault["field"]: fault for fault in found["errors"]}
    assert field in named, named
    assert named[field]["given"] == given
    assert allowed in named[field]["allowed"]
    assert num_jobs(http) == before


def test_every_fault_of_a_job_is_named_at_once(http: httpx.Client) -> None:
    found = problem(http.post("/v1/jobs", json={**MINIMAL, "steps": 0, "seed": -1, "x": 1}), 422)
    assert {fault["field"] for fault in found["errors"]} == {"steps", "seed", "x"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"recipe": NaN}', b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(http: httpx.Client, body: bytes) -> None:
    problem(http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"}), 422)


def test_half_a_character_is_refused_like_any_other_fault(http: httpx.Client) -> None:
    body = b'{"recipe": {"name": "language-model"}, "labels": {"\\ud800": "\\ud800"}}'
    problem(http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"}), 422)


def test_covers_nested_too_deep_are_refused(http: httpx.Client) -> None:
    cover: dict = {"kind": "slices"}
    for _ in range(100):
        cover = {"kind": "reshaped", "view": "square", "inner": cover}
    found = problem(
        http.post("/v1/jobs", json={**MINIMAL, "optimizer": {"name": "sm3", "cover": cover}}), 422
    )
    assert "nested more than 4 deep" in found["detail"]


def test_broken_json_is_named_as_such(http: httpx.Client) -> None:
    found = problem(
        http.post("/v1/jobs", content=b'{"a": }', headers={"Content-Type": "application/json"}), 422
    )
    assert "no JSON at character 6" in found["detail"]
    assert "a JSON object" in found["detail"]


def test_a_stranger_cannot_make_the_service_parse_a_manifest(service: RunningService) -> None:
    body = b"[" + b"[]," * 1000  # no JSON: who parses it finds that first
    with httpx.Client(base_url=service.url, timeout=30, trust_env=False) as stranger:
        declared = {"Content-Type": "application/json"}
        response = stranger.put("/v1/jobs/nobody/manifest", content=body, headers=declared)
    problem(response, 401)


def test_a_body_beyond_the_limit_is_refused_unread(http: httpx.Client) -> None:
    found = problem(http.post("/v1/jobs", json={**MINIMAL, "labels": {"a": "x" * 2**20}}), 413)
    assert "1,048,576 bytes" in found["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/nobody"),
        ("POST", "/v1/jobs/nobody/cancel"),
        ("GET", "/v1/jobs/nobody/transitions"),
        ("GET", "/v1/jobs/nobody/log"),
        ("GET", "/v1/jobs/nobody/metrics"),
        ("GET", "/v1/jobs/nobody/tensors"),
        ("GET", "/v1/jobs/nobody/frames"),
        ("GET", "/v1/jobs/nobody/frames/latest"),
        ("GET", "/v1/jobs/nobody/frames/at?step=1"),
        ("GET", "/v1/jobs/nobody/frames/0/0"),
        ("GET", "/v1/jobs/nobody/events"),
        ("POST", "/v1/jobs/nobody/tickets"),
        ("GET", "/v1/nothing"),
    ],
)
def test_what_is_not_there_is_a_404(http: httpx.Client, method: str, path: str) -> None:
    problem(http.request(method, path), 404)


def test_a_wrong_method_tells_the_right_ones(http: httpx.Client) -> None:
    response = http.delete("/v1/jobs/nobody/tensors")
    problem(response, 405)
    assert response.headers["allow"] == "GET"


def test_a_foreign_host_name_is_refused(service: RunningService) -> None:
    response = httpx.get(f"{service.url}/healthz", headers={"Host": "evil.example"}, trust_env=False)
    assert "'evil.example'" in problem(response, 400)["detail"]


def test_openapi_shows_examples_that_are_valid_jobs(http: httpx.Client) -> None:
    body = http.get("/openapi.json").json()["paths"]["/v1/jobs"]["post"]["requestBody"]
    shown = body["content"]["application/json"]["examples"]
    assert shown == JOB_EXAMPLES
    for example in shown.values():
        JobSpec.model_validate(example["value"])


def test_recipes_tell_their_sizes_and_the_licence_of_their_data(service: RunningService) -> None:
    with service.client as client:
        recipes = {recipe.name: recipe for recipe in client.recipes()}
    assert recipes["language-model"].sizes["tiny"]["parameters"] == 929_280
    assert recipes["language-model"].sizes["gpt2-small"]["layers"] == 12
    assert recipes["images"].sizes["mlp"]["parameters"] == 235_146
    for recipe in recipes.values():
        assert all(data["licence"] and data["provenance"] for data in recipe.data.values())


def test_a_queued_job_is_cancelled_at_once_and_twice_is_once(service: RunningService) -> None:
    with service.client as client:
        running = client.launch(tiny_job(steps=100_000))
        queued = client.launch(tiny_job())
        assert client.job(queued.id).state is JobState.QUEUED
        assert client.cancel(queued.id).state is JobState.CANCELLED
        assert client.cancel(queued.id).state is JobState.CANCELLED
        assert [t.state for t in client.transitions(queued.id)] == ["queued", "cancelled"]
        client.cancel(running.id)
        service.wait_for(running.id, JobState.CANCELLED)


def test_an_ended_job_cannot_be_cancelled(done: JobView, http: httpx.Client) -> None:
    found = problem(http.post(f"/v1/jobs/{done.id}/cancel"), 409)
    assert "succeeded cannot become cancelling" in found["detail"]


def test_lists_are_paged_by_cursor_and_filtered_by_state(
    http: httpx.Client, service: RunningService, done: JobView
) -> None:
    with service.client as client:
        ids = [client.launch(tiny_job()).id for _ in range(3)]
        for job_id in ids:
            client.cancel(job_id)
        first = client.jobs(limit=2)
        second = client.jobs(limit=2, after=first.next)
        listed = [job.id for job in (*first.items, *second.items)]
        assert listed[:3] == ids[::-1]
        succeeded = client.jobs(state=JobState.SUCCEEDED).items
        assert done.id in {job.id for job in succeeded}
        assert {job.state for job in succeeded} == {JobState.SUCCEEDED}
        service.wait_for(ids[0], lambda job: job.state.is_final)
    problem(http.get("/v1/jobs", params={"limit": 0}), 422)
    problem(http.get("/v1/jobs", params={"state": "dreaming"}), 422)


def test_a_created_job_tells_its_address(http: httpx.Client, service: RunningService) -> None:
    response = http.post("/v1/jobs", json=tiny_job(steps=1).model_dump(mode="json"))
    assert response.status_code == 201
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert http.get(response.headers["location"]).json()["id"] == job["id"]
    assert http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200


def test_a_body_that_is_not_declared_as_json_is_refused_with_the_remedy(http: httpx.Client) -> None:
    found = problem(http.post("/v1/jobs", content=json.dumps(MINIMAL)), 422)
    assert "Content-Type: application/json" in found["detail"]


def test_a_worker_token_serves_its_own_job_alone(service: RunningService) -> None:
    from server.auth import digest
    from server.store import Database, JobStore

    store = JobStore(Database(f"sqlite:///{service.data_dir / 'store.sqlite3'}"))
    mine, other = store.create(tiny_job()), store.create(tiny_job())
    with store.database.write() as session:
        from server.store.tables import JobRow

        row = session.get(JobRow, mine.id)
        assert row is not None
        row.ingest_digest = digest("sm3i_mine")
        row.state = "cancelled"
    store.move(other.id, JobState.CANCELLED, "test")
    store.database.close()
    with Client(service.url, "sm3i_mine") as worker:
        assert worker.job(mine.id).id == mine.id
        for status, forbidden in (
            (403, lambda: worker.job(other.id)),
            (403, lambda: worker.jobs()),
            (403, lambda: worker.ticket(mine.id)),
        ):
            with pytest.raises(ServiceError) as refusal:
                forbidden()
            assert refusal.value.problem.status == status


@pytest.mark.parametrize(
    ("blob", "reason"), [(b"", "cut short"), (b"x" * 100, "too long"), (b"\0" * 8 + b"{}", "not JSON")]
)
def test_a_malformed_frame_is_refused(
    http: httpx.Client, service: RunningService, blob: bytes, reason: str
) -> None:
    with service.client as client:
        job = client.jobs(limit=1).items[0]
    found = problem(http.put(f"/v1/jobs/{job.id}/frames/0/99999", content=blob), 422)
    assert reason in found["detail"]
    problem(http.get(f"/v1/jobs/{job.id}/frames/0/99999"), 404)


def test_the_client_says_what_to_do_when_no_service_is_there() -> None:
    with (
        Client("http://127.0.0.1:9", "t") as client,
        pytest.raises(Unreachable, match="Start it with `sm3 up`"),
    ):
        client.jobs()


def test_secrets_are_in_no_answer_and_no_log(service: RunningService, http: httpx.Client) -> None:
    http.get("/v1/jobs/nobody")
    body = json.dumps(http.get("/v1/jobs", params={"limit": 500}).json())
    assert service.token not in body
    assert "ingest" not in body
    assert service.token not in service.log

"""Comparisons over REST: really trained, really compared."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from server.examples import COMPARISON_EXAMPLES
from sm3.cli import app
from sm3.remote.client import Client, ServiceError
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import BandMethod, ComparisonView, LossSeries
from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job

DOCUMENT = Path(__file__).parents[2] / "docs" / "comparisons.md"
EXAMPLE = COMPARISON_EXAMPLES["rows-against-slices"]["value"]


def spec(variants: dict[str, dict], *, seeds: list[int] | None = None, **base: object) -> ComparisonSpec:
    return ComparisonSpec.model_validate({
        "base": tiny_job(**base),
        "variants": [{"name": name, "change": change} for name, change in variants.items()],
        "seeds": seeds,
    })


@pytest.fixture
def http(service: RunningService):
    headers = {"Authorization": f"Bearer {service.token}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def settled(service: RunningService, comparison_id: str, timeout_s: float = 100) -> ComparisonView:
    deadline = time.monotonic() + timeout_s
    with service.client as client:
        while not (found := client.comparison(comparison_id)).is_final:
            assert time.monotonic() < deadline, found.states
            time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def example(service: RunningService) -> ComparisonView:
    """The example of the OpenAPI, trained to its end."""
    with service.client as client:
        made = client.compare(ComparisonSpec.model_validate(EXAMPLE))
    return settled(service, made.id)


def test_the_example_of_the_openapi_is_trained_at_equal_seeds_and_data_order(
    service: RunningService, http: httpx.Client, example: ComparisonView
) -> None:
    body = http.get("/openapi.json").json()["paths"]["/v1/comparisons"]["post"]["requestBody"]
    assert body["content"]["application/json"]["examples"] == COMPARISON_EXAMPLES
    assert example.states == {JobState.SUCCEEDED: 4}
    assert [v.name for v in example.variants] == ["slices", "rows"]
    with service.client as client:
        for seed, pair in zip((0, 1), zip(*(v.jobs for v in example.variants), strict=True), strict=True):
            jobs = [client.job(job_id) for job_id in pair]
            assert [job.spec.seed for job in jobs] == [seed, seed]
            assert [job.spec.labels for job in jobs] == [
                {"comparison": example.id, "variant": name} for name in ("slices", "rows")
            ]
            first, second = (client.metrics(job.id).series["loss"].values for job in jobs)
            assert first[0] == second[0]  # the same parameters met the same batch
            assert first[1:] != second[1:]


def test_its_statistics_are_paired_by_seed_and_tell_bytes_steps_and_seconds(
    service: RunningService, example: ComparisonView
) -> None:
    with service.client as client:
        found = client.comparison_statistics(example.id)
        jobs = {job_id: client.job(job_id) for v in example.variants for job_id in v.jobs}
        losses = {job_id: client.metrics(job_id).series["val_loss"].values for job_id in jobs}
    slices, rows = found.variants
    assert (found.reference, found.series, found.target) == (
        "slices",
        "val_loss",
        pytest.approx(sum(losses[r.job][-1] for r in slices.runs) / 2),
    )
    pairs = zip(slices.runs, rows.runs, strict=True)
    differences = [losses[theirs.job][-1] - losses[ours.job][-1] for ours, theirs in pairs]
    assert rows.final_difference.mean == pytest.approx(sum(differences) / 2)
    assert rows.final_difference.method is BandMethod.STUDENT_T
    assert rows.final_difference.low < rows.final_difference.mean < rows.final_difference.high
    assert (rows.difference.steps, rows.difference.num_seeds) == ((3,), (2,))
    assert not rows.diverged
    for run in (*slices.runs, *rows.runs):
        assert (run.last_step, run.final_loss) == (3, losses[run.job][-1])
        assert run.state_bytes == jobs[run.job].memory.state_bytes
        assert (run.steps_to_target is None) == (run.seconds_to_target is None)
    assert rows.runs[0].state_bytes < slices.runs[0].state_bytes


def test_the_training_loss_is_compared_in_windows_and_against_any_variant(
    service: RunningService, example: ComparisonView
) -> None:
    with service.client as client:
        found = client.comparison_statistics(
            example.id, reference="rows", series=LossSeries.LOSS, confidence=0.5, window=2, target=1e9
        )
    assert (found.reference, found.window_steps, found.confidence) == ("rows", 2, 0.5)
    slices, rows = found.variants
    assert rows.difference is None
    assert slices.difference.steps == (2, 3)
    assert [run.steps_to_target for run in (*slices.runs, *rows.runs)] == [2] * 4
    assert all(run.seconds_to_target > 0 for run in (*slices.runs, *rows.runs))


def test_a_variant_that_diverges_is_told_and_hides_behind_no_mean(service: RunningService) -> None:
    asked = spec({"calm": {}, "wild": {"optimizer": {"name": "sgd", "lr": 1000}}}, steps=12, seeds=[0])
    with service.client as client:
        made = settled(service, client.compare(asked).id)
        found = client.comparison_statistics(made.id, series=LossSeries.LOSS)
    calm, wild = found.variants
    assert made.states == {JobState.SUCCEEDED: 1, JobState.FAILED: 1}
    assert (calm.diverged, wild.diverged) == (False, True)
    (run,) = wild.runs
    assert (run.diverged, run.final_loss, run.state) == (True, None, JobState.FAILED)
    assert 1 < run.diverged_at_step <= 12
    assert wild.final_difference.mean is None
    assert wild.difference.mean[-1] is None


def test_a_created_comparison_tells_its_address_and_its_parts(http: httpx.Client) -> None:
    body = spec({"a": {}, "b": {"schedule": {"warmup": 0.1}}}).model_dump(mode="json") | {"label": "hello"}
    response = http.post("/v1/comparisons", json=body)
    assert response.status_code == 201
    made = response.json()
    assert response.headers["location"] == f"/v1/comparisons/{made['id']}"
    assert made["label"] == "hello"
    assert made["created_at"]
    assert [(v["name"], len(v["jobs"])) for v in made["variants"]] == [("a", 1), ("b", 1)]
    cancelled = http.post(f"/v1/comparisons/{made['id']}/cancel").json()
    assert cancelled["id"] == made["id"]
    assert http.get(response.headers["location"]).json()["variants"] == made["variants"]


def counts(http: httpx.Client) -> tuple[int, int]:
    return tuple(len(http.get(f"/v1/{what}?limit=500").json()["items"]) for what in ("jobs", "comparisons"))


def test_faults_of_all_variants_come_in_one_problem_and_nothing_is_queued(http: httpx.Client) -> None:
    before = counts(http)
    body = spec({"a": {}, "b": {}}).model_dump(mode="json")
    body["variants"][0]["change"] = {"recipe": {"size": "tiny"}}
    body["variants"][1]["change"] = {"optimizer": {"lr": 0}}
    body["variants"].append({"name": "c", "change": {"optimizer": {"name": "adam"}}})
    response = http.post("/v1/comparisons", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert {fault["field"] for fault in response.json()["errors"]} == {
        "variants.0.change.recipe",
        "variants.1.change.optimizer.lr",
        "variants.2.change.optimizer.name",
    }
    assert "(and 2 more)" in response.json()["detail"]
    assert counts(http) == before


def test_what_does_not_fit_the_model_is_named_once_where_it_was_said(http: httpx.Client) -> None:
    before = counts(http)
    unmatched = {"rules": [{"match": "no-such-tensor", "cover": {"kind": "whole"}}]}
    far = {"cover": {"kind": "slices", "dims": [5]}}
    asked = spec({"a": {}, "b": {"optimizer": unmatched}, "c": {"optimizer": far}})
    response = http.post("/v1/comparisons", json=asked.model_dump(mode="json"))
    assert response.status_code == 422, response.text
    assert {fault["field"] for fault in response.json()["errors"]} == {
        "variants.1.change.optimizer.rules.0.match",
        "variants.2.change.optimizer.cover",
    }
    asked = spec({"a": {}, "b": {"schedule": {"warmup": 0}}}, optimizer={"name": "sm3", **unmatched})
    response = http.post("/v1/comparisons", json=asked.model_dump(mode="json"))
    assert [f["field"] for f in response.json()["errors"]] == ["base.optimizer.rules.0.match"]
    assert counts(http) == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"base": NaN}', b"\xff", b"[" * 5000])
def test_what_is_no_comparison_is_refused(http: httpx.Client, body: bytes) -> None:
    response = http.post("/v1/comparisons", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 422}
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/statistics"), ("POST", "/cancel"), ("DELETE", "/x")]
)
def test_an_unknown_comparison_is_a_404_and_a_stranger_is_refused(
    http: httpx.Client, service: RunningService, method: str, path: str
) -> None:
    address = f"/v1/comparisons/nobody{path}"
    response = http.request(method, address)
    assert response.status_code == 404
    if path != "/x":
        assert "GET /v1/comparisons lists those there are" in response.json()["detail"]
        assert httpx.request(method, service.url + address, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("reference=columns", 404, "'columns' to compare with; this comparison has 'slices', 'rows'"),
        ("confidence=1", 422, "0.999"),
        ("series=speed", 422, "'val_loss' or 'loss'"),
        ("target=nan", 422, "finite"),
        ("window=0", 422, "1"),
    ],
)
def test_a_faulty_question_is_refused_with_what_is_allowed(
    http: httpx.Client, example: ComparisonView, query: str, status: int, said: str
) -> None:
    response = http.get(f"/v1/comparisons/{example.id}/statistics?{query}")
    assert response.status_code == status
    assert said in response.json()["detail"]


def test_cancelling_stops_what_has_not_ended_and_twice_is_once(service: RunningService) -> None:
    with service.client as client:
        made = client.compare(spec({"a": {}, "b": {}}, seeds=[0, 1], steps=100_000))
        first = made.variants[0].jobs[0]
        service.wait_for(first, lambda job: job.progress.frames > 0)
        assert client.cancel_comparison(made.id).states == {JobState.CANCELLING: 1, JobState.CANCELLED: 3}
        assert settled(service, made.id).states == {JobState.CANCELLED: 4}
        assert client.cancel_comparison(made.id).states == {JobState.CANCELLED: 4}
        assert "a user cancelled its comparison" in {t.cause for t in client.transitions(first)}
        found = client.comparison_statistics(made.id, series=LossSeries.LOSS)
        assert found.target is None
        assert found.variants[0].runs[0].last_step > 0


def test_lists_are_paged_newest_first(service: RunningService, example: ComparisonView) -> None:
    with service.client as client:
        made = [client.compare(spec({"a": {}, "b": {}})).id for _ in range(3)]
        for comparison_id in made:
            client.cancel_comparison(comparison_id)
        first = client.comparisons(limit=2)
        rest = client.comparisons(after=first.next, limit=500)
        ids = [found.id for found in (*first.items, *rest.items)]
    assert ids[:3] == made[::-1]
    assert example.id in ids
    assert rest.next is None
    settled(service, made[0])


def test_the_client_raises_what_the_service_says(service: RunningService) -> None:
    with Client(service.url, service.token) as client, pytest.raises(ServiceError, match="no comparison 'x'"):
        client.comparison("x")


def test_compare_in_the_terminal_waits_and_shows_the_outcome(
    service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM3_URL", service.url)
    monkeypatch.setenv("SM3_TOKEN", service.token)
    monkeypatch.setenv("COLUMNS", "120")
    file = tmp_path / "races.json"
    file.write_text(json.dumps(EXAMPLE))
    done = CliRunner().invoke(app, ["compare", str(file), "--watch"])
    assert done.exit_code == 0, done.output
    assert "rows, seed 1" in done.output
    assert re.search(r"^ *slices +\S+ [KM]iB +\d+\.\d{4} \d+\.\d{4} *$", done.output, re.MULTILINE), (
        done.output
    )
    assert re.search(r"^ *rows .*[+-]\d+\.\d{4} \([+-].* to [+-].*\)", done.output, re.MULTILINE), done.output
    file.write_text(json.dumps({**EXAMPLE, "seeds": [1, 1]}))
    refused = CliRunner().invoke(app, ["compare", str(file)])
    assert refused.exit_code == 2
    assert "each seed once" in refused.output


def test_the_curl_session_of_the_document_runs_as_printed(service: RunningService, tmp_path: Path) -> None:
    (script,) = re.findall(r"```bash\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    for printed, here in (
        (".venv/bin/sm3 token", f"{sys.executable} -m sm3.cli token"),
        ("http://127.0.0.1:8000", service.url),
        ("python3 -c", f"{sys.executable} -c"),
    ):
        assert printed in script
        script = script.replace(printed, here)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"SM3_DATA_DIR": str(service.data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    decoder, answers, rest = json.JSONDecoder(), [], done.stdout
    while rest.strip():
        answer, end = decoder.raw_decode(rest.strip())
        answers.append(answer)
        rest = rest.strip()[end:]
    asked, of_validation, of_training, cancelled = answers
    assert [v["name"] for v in asked["variants"]] == ["slices", "rows", "adagrad"]
    assert (of_validation["series"], of_validation["reference"]) == ("val_loss", "slices")
    assert (of_training["series"], of_training["target"]) == ("loss", 6)
    assert sum(cancelled["states"].values()) == 6
    settled(service, asked["id"])

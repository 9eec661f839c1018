"""A whole service on PostgreSQL, over HTTP."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job
from tests.postgres import Postgres


@pytest.fixture
def service(tmp_path: Path, cache_dir: Path, postgres: Postgres) -> Iterator[RunningService]:
    environment = {
        "SM3_DATABASE_URL": postgres.url(postgres.new_database()),
        "SM3_STOP_WORKERS_ON_EXIT": "true",
    }
    running = RunningService(tmp_path / "data", cache_dir, environment=environment).start()
    yield running
    running.stop()


def test_a_job_runs_to_its_end_on_postgresql(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job())
        done = service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)
        assert client.metrics(job.id).series["loss"].num_points == 30
        frames = client.frames(job.id).items
        assert [info.seq for info in frames] == list(range(done.progress.frames))
        assert client.frame(job.id, 0, frames[-1].seq) == client.latest_frame(job.id)
        assert [event.name for event in client.events(job.id, follow=False)][-1] == "end"
    assert not (service.data_dir / "store.sqlite3").exists()


def test_while_the_database_is_away_the_answer_is_503_and_afterwards_all_is_well_without_a_restart(
    service: RunningService, postgres: Postgres
) -> None:
    headers = {"Authorization": f"Bearer {service.token}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30, trust_env=False) as http:
        body = tiny_job(steps=3).model_dump(mode="json")
        assert http.get("/v1/jobs").status_code == 200
        for violently in (False, True):
            postgres.stop(violently=violently)
            time.sleep(1.1)  # what was found out a second ago still holds for /readyz
            try:
                asked = {
                    "list": http.get("/v1/jobs"),
                    "launch": http.post("/v1/jobs", json=body),
                    "ready": http.get("/readyz"),
                }
                for what, response in asked.items():
                    assert response.status_code == 503, (what, response.text)
                    slug = "not-ready" if what == "ready" else "store-unavailable"
                    assert response.json()["type"] == f"urn:sm3-scope:problem:{slug}"
                    assert response.headers["Retry-After"] == ("5" if what == "ready" else "2")
                    assert postgres.password not in response.text
                assert http.get("/healthz").status_code == 200
            finally:
                postgres.start()
            assert http.get("/v1/jobs").json()["items"] == []
        launched = http.post("/v1/jobs", json=body)
        assert launched.status_code == 201
    service.wait_for(launched.json()["id"], JobState.SUCCEEDED, timeout_s=120)
    assert postgres.password not in service.log


def test_a_frame_is_sent_again_until_the_database_is_back_and_stored_once(
    service: RunningService, postgres: Postgres
) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=200, record={"every": 2}))
        service.wait_for(job.id, lambda found: found.progress.frames >= 5)
        postgres.stop(violently=True)
        time.sleep(1.0)
        postgres.start()
        done = service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)
        # Those of steps 1, 2, 4, 6, …, 200.
        assert [info.seq for info in client.frames(job.id).items] == list(range(101))
        assert (done.progress.frames, done.progress.frames_dropped) == (101, 0)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://sm3:hush@127.0.0.1:1/none", "cannot be opened"),
        ("mysql://root:hush@127.0.0.1/none", "SQLite or PostgreSQL"),
        ("not a url hush", "no URL"),
    ],
)
def test_a_store_that_cannot_be_opened_is_told_in_one_sentence_without_its_password(
    tmp_path: Path, url: str, says: str
) -> None:
    environment = {"SM3_DATA_DIR": str(tmp_path), "SM3_DATABASE_URL": url, "PATH": "", "PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, "-m", "server"],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "hush" not in done.stderr
    assert "Traceback" not in done.stderr


def test_two_services_on_one_database_share_the_queue_and_leave_each_others_workers_alone(
    service: RunningService, postgres: Postgres, tmp_path: Path, cache_dir: Path
) -> None:
    second = RunningService(tmp_path / "second", cache_dir, environment=dict(service.environment)).start()
    try:
        with service.client as client:
            ids = [client.launch(tiny_job(steps=60)).id for _ in range(3)]
            for job_id in ids:
                service.wait_for(job_id, JobState.SUCCEEDED, timeout_s=120)
                log = client.transitions(job_id)
                assert [t.state for t in log] == ["queued", "starting", "running", "succeeded"]
        ran = [{path.name for path in (s.data_dir / "jobs").iterdir()} for s in (service, second)]
        assert ran[0] | ran[1] == set(ids)
        assert not ran[0] & ran[1]
        assert all(ran), "with three jobs and a slot each, both had work"
    finally:
        second.stop()

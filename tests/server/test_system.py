"""``GET /v1/system`` says what store, executor and counters say."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from server.app import create_app
from server.operation.gpus import parse
from server.operation.meter import Meter, Reading
from server.service import Service
from server.settings import Settings
from sm3.remote.health_views import Verdict
from sm3.remote.system_views import Supervision, SystemView
from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job, worker_pid


def metrics(http: httpx.Client) -> dict[str, float]:
    """Every sample of ``/metrics``, those of one name added up."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(http.get("/metrics").text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_numbers_are_those_of_metrics_and_readiness(
    service: RunningService, http: httpx.Client, done: JobView
) -> None:
    with service.client as client:
        system, recipe_names = client.system(), [r.name for r in client.recipes()]
        ready = http.get("/readyz").json()
    told = metrics(http)
    assert recipe_names
    assert system.slots == told["sm3_slots"] == 1
    assert system.supervision is Supervision.HERE
    assert system.ingest.frames + system.ingest.repeats == told["sm3_frames_ingested_total"]
    assert system.ingest.bytes == told["sm3_frame_bytes_ingested_total"]
    assert sum(system.ingest.refused.values()) == told.get("sm3_frames_refused_total", 0)
    assert system.ingest.gaps == told["sm3_gaps_sent_total"]
    assert sum(system.store.jobs.values()) == told["sm3_jobs"]
    assert system.store.jobs[JobState.SUCCEEDED] >= 1
    assert system.store.frames >= done.progress.frames
    assert system.store.database_bytes > 100_000
    assert [check.name for check in system.checks] == [check["name"] for check in ready["checks"]]
    assert system.uptime_s > 0
    assert system.machine.num_cpus == os.cpu_count()
    assert system.machine.memory_total_bytes == psutil.virtual_memory().total
    assert 0 < system.machine.disk_free_bytes < system.machine.disk_total_bytes


def test_a_job_in_a_slot_and_those_behind_it_in_their_order(service: RunningService) -> None:
    with service.client as client:
        first = client.launch(tiny_job(steps=100_000, record={"every": 1}))
        running = service.wait_for(first.id, lambda job: job.progress.frames > 5)
        second = client.launch(tiny_job())
        urgent = client.launch(tiny_job(priority=5))
        try:
            system = client.system()
            (working,) = system.working
            assert (working.id, working.state, working.steps) == (first.id, JobState.RUNNING, 100_000)
            assert working.step >= running.progress.step
            assert working.name == "language-model tiny · sm3"
            assert working.device.startswith("CPU")
            entered = client.transitions(first.id)[-1].at
            assert abs((working.since - entered).total_seconds()) < 1e-3
            resident = psutil.Process(worker_pid(service, first.id)).memory_info().rss
            assert working.memory_bytes == pytest.approx(resident, rel=0.2)
            assert [(job.position, job.id) for job in system.waiting] == [(1, urgent.id), (2, second.id)]
            assert system.num_waiting == 2
            assert system.ingest.frames_per_s > 0
            assert system.ingest.bytes_per_s > 0
            assert system.ingest.dropped == 0
            client.cancel(second.id)
            client.cancel(urgent.id)
        finally:
            client.cancel(first.id)
        service.wait_for(first.id, JobState.CANCELLED)
        assert client.system().working == ()


def test_no_path_token_or_host_is_told(service: RunningService, http: httpx.Client) -> None:
    told = http.get("/v1/system").text
    for secret in (
        str(service.data_dir),
        str(service.cache_dir),
        str(Path.home()),
        service.token,
        os.uname().nodename,
    ):
        assert secret not in told


def test_without_slots_it_says_that_another_process_supervises(tmp_path: Path) -> None:
    service = Service.open(Settings(data_dir=tmp_path, slots=0, auth=False))
    waiting = service.jobs.create(tiny_job())
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        system = SystemView.model_validate(client.get("/v1/system").json())
    assert (system.supervision, system.slots, system.working) == (Supervision.ELSEWHERE, 0, ())
    assert [job.id for job in system.waiting] == [waiting.id]
    (supervisor,) = [check for check in system.checks if check.name == "supervisor"]
    assert supervisor.verdict is Verdict.WARNING
    assert "no round yet" in supervisor.found


def test_rates_are_over_ten_seconds_however_often_somebody_asks() -> None:
    now = 0.0
    meter = Meter(lambda: Reading(now, 5 * now, 1000 * now, 2 * now, 0.5 * now))
    for at_s in (0.2, 1.0, 7.0, 11.0, 30.0):
        now = at_s
        rates = meter.rates()
        assert (rates.frames_per_s, rates.bytes_per_s) == (pytest.approx(5), pytest.approx(1000))
        assert (rates.busy_cores, rates.own_cores) == (pytest.approx(2), pytest.approx(0.5))
    assert rates.window_s == pytest.approx(19.0)  # nobody asked in between


def test_gpus_are_read_as_the_driver_tells_them() -> None:
    told = "NVIDIA H100 80GB HBM3, 7, 512, 81559\nQuadro, with a comma, [N/A], 0, 1024\n"
    first, second = parse(told)
    assert (first.name, first.used_share, first.memory_total_bytes) == (
        "NVIDIA H100 80GB HBM3",
        0.07,
        81559 * 2**20,
    )
    assert (second.name, second.used_share) == ("Quadro, with a comma", None)
    with pytest.raises(ValueError, match="unpack"):
        list(parse("No devices were found"))

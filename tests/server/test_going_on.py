"""Jobs through the real service: paused, killed and resumed, they end as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from sm3.remote.client import Client, ServiceError
from sm3.remote.frames import decode, read_scalars
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState, JobView, WorkerReport
from tests.conftest import OF_THE_PROCESS, RunningService, tiny_job, worker_pid

STEPS = 160
pytestmark = pytest.mark.timeout(300)  # each attempt imports torch anew
Recorded = list[tuple[int, int, dict[str, object], dict[str, list[tuple[int, float]]]]]


def long_job(**changes: object) -> JobSpec:
    return tiny_job(
        steps=STEPS,
        checkpoint={"every": 40, "keep": 3},
        record={"every": 5},
        seed=3,
        validation={"every": 50},
        **changes,
    )


def recorded(client: Client, job: JobView) -> Recorded:
    """All frames of a job: seq, step, arrays and the scalars that do not depend on the time a step took."""
    found = []
    for info in client.frames(job.id, limit=5000).items:
        blob = client.frame(job.id, info.attempt, info.seq)
        series = {
            name: list(zip(steps.tolist(), values.tolist(), strict=True))
            for name, (steps, values) in read_scalars(blob).by_series().items()
            if name not in OF_THE_PROCESS
        }
        found.append((info.seq, info.step, dict(decode(blob).arrays), series))
    return found


def weights(client: Client, job: JobView) -> dict[str, np.ndarray]:
    newest = client.checkpoints(job.id)[0]
    assert newest.step == STEPS
    return load(client.weights(job.id, newest.step))


@pytest.fixture(scope="module")
def undisturbed(service: RunningService) -> JobView:
    with service.client as client:
        job = client.launch(long_job())
    return service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)


def assert_same(client: Client, job: JobView, other: JobView, theirs: Client | None = None) -> None:
    theirs = theirs or client
    mine, whole = recorded(client, job), recorded(theirs, other)
    assert [frame[:2] for frame in mine] == [frame[:2] for frame in whole]
    for (seq, _, arrays, series), (_, _, arrays_2, series_2) in zip(mine, whole, strict=True):
        assert series == series_2, seq
        assert arrays.keys() == arrays_2.keys()
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], arrays_2[name], err_msg=f"{name} in frame {seq}")
    ours, theirs_weights = weights(client, job), weights(theirs, other)
    assert ours.keys() == theirs_weights.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs_weights[name], err_msg=name)


def test_a_job_that_was_paused_and_killed_ends_as_one_that_was_not(
    service: RunningService, undisturbed: JobView
) -> None:
    with service.client as client:
        job = client.launch(long_job(retry={"attempts": 3, "backoff_s": 0}))
        service.wait_for(job.id, lambda j: j.progress.step >= 20)
        assert client.pause(job.id).state in {JobState.PAUSING, JobState.PAUSED}
        paused = service.wait_for(job.id, JobState.PAUSED)
        assert "it goes on after step" in paused.cause
        other = client.launch(tiny_job(steps=5))
        service.wait_for(other.id, JobState.SUCCEEDED)  # the slot was free
        client.resume(job.id)
        service.wait_for(job.id, lambda j: j.progress.step >= 95)
        os.kill(worker_pid(service, job.id), signal.SIGKILL)
        done = service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)
        assert done.attempt == 2
        states = [t.state for t in client.transitions(job.id)]
        assert states == [
            *("queued", "starting", "running", "pausing", "paused"),
            *("queued", "starting", "running", "queued", "starting", "running", "succeeded"),
        ]
        assert_same(client, job, undisturbed)


def test_a_job_whose_service_and_worker_were_killed_ends_as_one_that_was_not(
    service: RunningService, undisturbed: JobView, tmp_path: Path
) -> None:
    mine = RunningService(tmp_path / "data", service.cache_dir).start()
    try:
        with mine.client as client:
            job = client.launch(long_job())
        mine.wait_for(job.id, lambda j: j.progress.step >= 60)
        pid = worker_pid(mine, job.id)
        mine.stop(signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        mine.start()
        mine.wait_for(job.id, lambda j: j.state is JobState.RUNNING and j.attempt == 1)
        mine.stop()  # politely, with a worker that lives on
        mine.start()
        mine.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)
        with mine.client as client, service.client as theirs:
            assert_same(client, job, undisturbed, theirs)
    finally:
        if mine.process is not None and mine.process.poll() is None:
            mine.stop()


def test_a_worker_whose_job_was_ended_without_it_stops(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=100_000))
        service.wait_for(job.id, lambda j: j.progress.frames > 1)
        pid = worker_pid(service, job.id)
        with Client(service.url, worker_token(pid)) as worker:
            worker.report(job.id, WorkerReport(attempt=0, state="failed", cause="said somebody else"))
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not Path(f"/proc/{pid}").exists()


def worker_token(pid: int) -> str:
    environment = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return next(v for v in environment.split("\0") if v.startswith("SM3_TOKEN=")).partition("=")[2]


def test_a_job_that_is_over_its_time_fails_with_a_checkpoint(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=100_000, limits={"time_s": 1.0}))
        ended = service.wait_for(job.id, JobState.FAILED)
        assert "limits.time_s of 1 s was used up after step" in ended.cause
        (checkpoint,) = client.checkpoints(job.id)
        assert f"after step {checkpoint.step:,} " in ended.cause


def test_a_job_that_is_over_its_memory_fails_saying_how_much_it_took(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=100_000, limits={"memory_bytes": 2**27}))
        ended = service.wait_for(job.id, JobState.FAILED)
        assert "bytes of memory, limits.memory_bytes is 134,217,728; clone the job" in ended.cause
        assert ended.attempt == 0


def test_a_deleted_job_is_gone_with_its_files(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=5))
        service.wait_for(job.id, JobState.SUCCEEDED)
        folder = service.data_dir / "jobs" / job.id
        assert folder.exists()
        client.delete(job.id)
        assert not folder.exists()
        with pytest.raises(ServiceError, match="There is no job"):
            client.job(job.id)


def test_a_worker_that_starts_while_the_service_is_away_waits_for_it(
    tmp_path: Path, service: RunningService
) -> None:
    mine = RunningService(tmp_path / "data", service.cache_dir).start()
    try:
        with mine.client as client:
            job = client.launch(tiny_job(steps=5, retry={"attempts": 0}))
        mine.wait_for(job.id, JobState.STARTING)
        mine.stop(signal.SIGKILL)  # long before the worker has read its spec
        time.sleep(3)
        mine.start()
        assert mine.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120).attempt == 0
    finally:
        if mine.process is not None and mine.process.poll() is None:
            mine.stop()

"""Real training jobs through the real service: from POST to the end, whatever end it is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import websockets
import websockets.sync.client

from server.worker.loop import Run
from server.worker.recipes.base import build
from server.worker.stop import StopRequest
from sm3 import SM3
from sm3.probes.base import max_pool
from sm3.remote.client import Client
from sm3.remote.frames import decode, read_scalars
from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job, worker_pid


class Silent:
    """A tracker that takes everything and tells nobody."""

    def manifest(self, manifest: object) -> None: ...
    def scalar(self, series: str, step: int, value: float) -> None: ...
    def frame(self, step: int, arrays: object) -> None: ...

    fenced: str | None = None


def test_the_last_frame_holds_the_optimizers_own_accumulators(
    service: RunningService, done: JobView, cache_dir: Path
) -> None:
    torch.set_num_threads(1)
    device = torch.device("cpu")
    task = build(done.spec.recipe, seed=done.spec.seed, device=device, cache_dir=cache_dir, report=print)
    here = Run(done.spec, task, device, Silent(), 0, StopRequest()).train()  # type: ignore[arg-type]
    assert isinstance(here, SM3)
    with service.client as client:
        frame = decode(client.latest_frame(done.id))
    assert frame.step == done.spec.steps
    own = {key: a for key, a in frame.arrays.items() if key.startswith("accumulators/")}
    compared = 0
    for name, param in task.model.named_parameters():
        mu = here.accumulators(param)
        found = [a for key, a in sorted(own.items()) if key.split("/", 2)[2] == name]
        assert len(found) == len(mu)
        for kept, array in zip(mu, found, strict=True):
            np.testing.assert_array_equal(array, max_pool(kept).numpy())
            compared += 1
    assert compared == len(own)


def test_its_life_is_logged_and_its_bytes_are_those_of_the_shapes(
    service: RunningService, done: JobView
) -> None:
    with service.client as client:
        states = [t.state for t in client.transitions(done.id)]
        tensors = client.tensors(done.id)
    assert states == ["queued", "starting", "running", "succeeded"]
    assert done.memory is not None
    for tensor in tensors:
        if len(tensor.shape) >= 2:
            assert tensor.accumulator_bytes == 4 * sum(tensor.shape)
            assert tensor.parts == tuple(f"dim{k}" for k in range(len(tensor.shape)))
    assert done.memory.accumulator_bytes == sum(t.accumulator_bytes for t in tensors)
    assert done.memory.adam_bytes == 8 * done.memory.num_parameters
    assert done.progress.step == done.spec.steps


def test_metrics_hold_the_loss_of_every_step(service: RunningService, done: JobView) -> None:
    with service.client as client:
        metrics = client.metrics(done.id)
        thin = client.metrics(done.id, ["loss"], max_points=10)
        name = next(n for n in metrics.available if n.startswith("rate_p50/"))
        rates = client.metrics(done.id, [name])
    assert metrics.series["loss"].steps == tuple(range(1, done.spec.steps + 1))
    assert metrics.downsampling == "none"
    assert metrics.series["val_loss"].steps == (done.spec.steps,)
    assert (thin.downsampling, thin.series["loss"].num_points) == ("minmax-lttb", done.spec.steps)
    assert len(thin.series["loss"].steps) == 10
    assert all(value is not None and value > 0 for value in rates.series[name].values)


def test_frames_are_numbered_without_gaps_and_each_can_be_read(
    service: RunningService, done: JobView
) -> None:
    with service.client as client:
        page = client.frames(done.id, limit=3)
        rest = client.frames(done.id, after=page.next)
        listed = [*page.items, *rest.items]
        assert [f.seq for f in listed] == list(range(done.progress.frames))
        assert [f.step for f in listed] == [1, 5, 10, 15, 20, 25, 30]
        for info in listed:
            blob = client.frame(done.id, info.attempt, info.seq)
            assert len(blob) == info.size_bytes
            assert decode(blob).step == info.step


def test_events_tell_the_whole_story_and_resume_anywhere(service: RunningService, done: JobView) -> None:
    with service.client as client:
        events = list(client.events(done.id))
        story = [(e.name, e.data.get("state", e.data.get("step"))) for e in events]
        assert story[0] == ("state", "queued")
        assert [step for name, step in story if name == "frame"] == [1, 5, 10, 15, 20, 25, 30]
        assert story[-2:] == [("state", "succeeded"), ("end", "succeeded")]
        for number, event in enumerate(events[:-1]):
            again = list(client.events(done.id, last_event_id=event.id))
            assert again == events[number + 1 :]


def test_events_follow_a_running_job_live(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=60))
        events = list(client.events(job.id))
    steps = [e.data["step"] for e in events if e.name == "frame"]
    assert steps == [1, *range(5, 61, 5)]
    assert all(e.data["scalars"]["loss"] > 0 for e in events if e.name == "frame")
    assert events[-1].data == {"state": "succeeded", "final": True}


async def drain(socket: websockets.ClientConnection) -> None:
    """Receives until the socket is closed."""
    while True:
        await socket.recv()


@pytest.mark.parametrize("nonsense", ["nonsense", "{}", b"\x00\x01", '{"type":"select","tensor":5}'])
def test_the_live_socket_sends_job_history_and_frames_answers_a_selection_and_shuts_on_nonsense(
    service: RunningService, done: JobView, nonsense: str | bytes
) -> None:
    async def view() -> None:
        with service.client as client:
            ticket = client.ticket(done.id).ticket
        address = f"ws://127.0.0.1:{service.port}/v1/jobs/{done.id}/live?ticket={ticket}"
        async with websockets.connect(address, proxy=None, max_size=None) as socket:
            hello = json.loads(await socket.recv())
            assert (hello["type"], hello["job"]["state"]) == ("job", "succeeded")
            assert len(hello["tensors"]) > 10
            history = read_scalars(await socket.recv())
            assert len(history.by_series()["loss"][0]) == done.spec.steps
            assert decode(await socket.recv()).step == done.spec.steps
            name = hello["tensors"][0]["name"]
            await socket.send(json.dumps({"type": "select", "tensor": name}))
            while not isinstance(message := await socket.recv(), bytes):
                assert json.loads(message)["type"] == "ping"
            assert f"rate_p50/{name}" in read_scalars(message).names
            await socket.send(nonsense)
            with pytest.raises(websockets.ConnectionClosed):
                await drain(socket)
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(address, proxy=None)

    asyncio.run(view())


@pytest.mark.parametrize("ticket", ["", "wrong"])
def test_the_live_socket_stays_shut_without_a_ticket(
    service: RunningService, done: JobView, ticket: str
) -> None:
    async def knock() -> None:
        address = f"ws://127.0.0.1:{service.port}/v1/jobs/{done.id}/live?ticket={ticket}"
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(address, proxy=None)

    asyncio.run(knock())


@pytest.mark.parametrize("origin", ["http://evil.example", "http://[", "null"])
def test_a_foreign_page_cannot_open_the_live_socket(
    service: RunningService, done: JobView, origin: str
) -> None:
    async def knock() -> None:
        with service.client as client:
            ticket = client.ticket(done.id).ticket
        address = f"ws://127.0.0.1:{service.port}/v1/jobs/{done.id}/live?ticket={ticket}"
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(address, proxy=None, additional_headers={"Origin": origin})

    asyncio.run(knock())


def test_a_running_job_is_cancelled_and_keeps_its_frames(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=100_000))
        service.wait_for(job.id, lambda j: j.progress.frames > 3)
        assert client.cancel(job.id).state is JobState.CANCELLING
        ended = service.wait_for(job.id, JobState.CANCELLED)
        assert len(client.frames(job.id).items) == ended.progress.frames > 3


def test_a_killed_worker_ends_as_crashed_with_the_reason_and_its_frames_are_kept(
    service: RunningService,
) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=100_000, retry={"attempts": 0}))
        service.wait_for(job.id, lambda j: j.progress.frames > 3)
        os.kill(worker_pid(service, job.id), signal.SIGKILL)
        ended = service.wait_for(job.id, JobState.CRASHED)
        assert "killed by SIGKILL" in ended.cause
        stored = [f.seq for f in client.frames(job.id, limit=5000).items]
    assert stored == list(range(len(stored)))
    assert not list((service.data_dir / "jobs" / job.id / "spool").glob("*.frame"))


def test_a_job_whose_recipe_fails_ends_as_failed_with_the_reason(service: RunningService) -> None:
    impossible = tiny_job(device="cuda")
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA, so the job would succeed")
    with service.client as client:
        job = client.launch(impossible)
        ended = service.wait_for(job.id, JobState.FAILED)
        assert "'cuda' was asked for, but this machine has none" in ended.cause
        assert "Traceback" in client.log(job.id)


def test_workers_outlive_the_service_and_are_adopted_by_the_next(tmp_path: Path, cache_dir: Path) -> None:
    mine = RunningService(tmp_path / "data", cache_dir).start()
    try:
        with mine.client as client:
            job = client.launch(tiny_job(steps=400))
        mine.wait_for(job.id, lambda j: j.progress.frames > 3)
        mine.stop(signal.SIGKILL)
        time.sleep(0.5)
        mine.start()
        ended = mine.wait_for(job.id, JobState.SUCCEEDED, timeout_s=100)
        with mine.client as client:
            seqs = [f.seq for f in client.frames(job.id, limit=5000).items]
            assert [t.state for t in client.transitions(job.id)] == [
                "queued",
                "starting",
                "running",
                "succeeded",
            ]
        assert seqs == list(range(1 + 400 // 5))
        assert ended.progress.frames_dropped == 0
    finally:
        if mine.process is not None and mine.process.poll() is None:
            mine.stop()


def test_a_job_that_ended_while_the_service_was_away_is_settled_by_the_next(
    tmp_path: Path, cache_dir: Path
) -> None:
    mine = RunningService(tmp_path / "data", cache_dir).start()
    try:
        with mine.client as client:
            job = client.launch(tiny_job(steps=100_000, retry={"attempts": 0}))
        mine.wait_for(job.id, lambda j: j.progress.frames > 3)
        pid = worker_pid(mine, job.id)
        mine.stop(signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        mine.start()
        ended = mine.wait_for(job.id, JobState.CRASHED)
        assert "vanished while the service was away" in ended.cause
    finally:
        if mine.process is not None and mine.process.poll() is None:
            mine.stop()


def test_a_second_service_on_the_same_folder_refuses_and_harms_nothing(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=100_000))
        service.wait_for(job.id, lambda j: j.progress.frames > 1)
        second = RunningService(service.data_dir, service.cache_dir, environment=service.environment)
        done = subprocess.run(
            [sys.executable, "-m", "server"],
            env=os.environ
            | {"SM3_DATA_DIR": str(second.data_dir), "SM3_PORT": str(second.port), **second.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert "another SM3 Scope service works on" in done.stderr
        assert client.job(job.id).state is JobState.RUNNING
        client.cancel(job.id)
        service.wait_for(job.id, JobState.CANCELLED)


def test_stopping_the_service_ends_workers_and_open_streams(
    own_service: RunningService,
) -> None:
    with own_service.client as client:
        job = client.launch(tiny_job(steps=100_000))
        own_service.wait_for(job.id, lambda j: j.progress.frames > 2)
        pid = worker_pid(own_service, job.id)
        stream = client.events(job.id)
        next(stream)
        ticket = client.ticket(job.id).ticket
        address = f"ws://127.0.0.1:{own_service.port}/v1/jobs/{job.id}/live?ticket={ticket}"
        with websockets.sync.client.connect(address, proxy=None) as socket:
            socket.recv()
            own_service.stop()
        stream.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    own_service.start()
    with own_service.client as client:
        causes = [t.cause for t in client.transitions(job.id)]
        assert any(cause.startswith("the service was stopped; it goes on after step ") for cause in causes)
        again = own_service.wait_for(job.id, JobState.RUNNING)
        assert again.attempt == 1
        client.cancel(job.id)
        own_service.wait_for(job.id, JobState.CANCELLED)


def test_a_relative_data_folder_serves_worker_and_supervisor_alike(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = RunningService(Path("data"), cache_dir, environment={"SM3_STOP_WORKERS_ON_EXIT": "true"}).start()
    with mine.client as client:
        job = client.launch(tiny_job(steps=100_000))
        mine.wait_for(job.id, lambda j: j.progress.frames > 1)
        os.kill(worker_pid(mine, job.id), signal.SIGINT)
        ended = mine.wait_for(job.id, JobState.CRASHED)
    assert "a signal from outside ended the worker: stopped after step" in ended.cause
    mine.stop()


def test_the_supervisor_can_run_apart_from_the_api(tmp_path: Path, cache_dir: Path) -> None:
    mine = RunningService(tmp_path / "data", cache_dir, environment={"SM3_SLOTS": "0"}).start()
    environment = os.environ | {
        "SM3_DATA_DIR": str(mine.data_dir),
        "SM3_CACHE_DIR": str(cache_dir),
        "SM3_WORKER_URL": mine.url,
        "SM3_STOP_WORKERS_ON_EXIT": "true",
        "SM3_SLOTS": "1",
    }
    apart = subprocess.Popen([sys.executable, "-m", "server.execution"], env=environment)
    try:
        with mine.client as client:
            job = client.launch(tiny_job())
        mine.wait_for(job.id, JobState.SUCCEEDED)
        assert time.time() - (mine.data_dir / "supervisor.alive").stat().st_mtime < 30
    finally:
        apart.terminate()
        apart.wait(10)
        mine.stop()


def test_the_worker_token_is_of_no_use_for_anything_else(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=100_000))
        service.wait_for(job.id, lambda j: j.progress.frames > 1)
        environment = Path(f"/proc/{worker_pid(service, job.id)}/environ").read_bytes().decode()
        token = next(line for line in environment.split("\0") if line.startswith("SM3_TOKEN=")).partition(
            "="
        )[2]
        assert token.startswith("sm3i_")
        with Client(service.url, token) as worker:
            assert worker.job(job.id).id == job.id
        refused = httpx.get(
            f"{service.url}/v1/jobs", headers={"Authorization": f"Bearer {token}"}, trust_env=False
        )
        assert refused.status_code == 403
        client.cancel(job.id)
        service.wait_for(job.id, JobState.CANCELLED)

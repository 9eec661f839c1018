"""A disk of 8 MB that fills up under store and spools, and has room again: `make chaos-disk`."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest

from sm3.remote.client import Client, ServiceError
from sm3.remote.frames import Frame, Scalars, decode, encode
from sm3.remote.wire import JobState
from tests.chaos.small_disk import fill, free, small_disk, why_not
from tests.conftest import RunningService, tiny_job, worker_pid

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "root")]
ROUNDS = 6
RESERVE_BYTES = 2 * 2**20


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB, or of as many as a test is marked with."""
    size = request.node.get_closest_marker("disk_mib")
    try:
        with small_disk(tmp_path / "disk", size_mib=size.args[0] if size else 8) as folder:
            yield folder
    except PermissionError as error:
        pytest.skip(f"no tmpfs can be mounted here: {error}")


def frame(job_id: str, seq: int) -> bytes:
    arrays = {"a/b/c": np.random.default_rng(seq).random(4_000, dtype=np.float32)}
    loss = Scalars(("loss",), np.array([seq + 1]), np.zeros(1, np.uint32), np.array([1.0 / (seq + 1)]))
    return encode(Frame(job_id, 0, seq, seq + 1, 1.0, arrays, loss))


def put_until_refused(client: Client, job_id: str, first: int) -> tuple[int, ServiceError]:
    """Returns the number of the first frame that was refused, and how."""
    for seq in range(first, first + 2000):
        try:
            client.put_frame(job_id, 0, seq, frame(job_id, seq))
        except ServiceError as error:
            return seq, error
    raise AssertionError("2,000 frames of 16 KB fit on 8 MB")


def fill_but(ballast: Path, room_bytes: int) -> None:
    """Takes all free bytes but ``room_bytes``."""
    fill(ballast)
    with ballast.open("r+b") as file:
        file.truncate(max(0, ballast.stat().st_size - room_bytes))


def not_ready(service: RunningService) -> httpx.Response:
    """Returns the 503; checks are made once a second, so the first answer may be from before."""
    deadline = time.monotonic() + 10
    while (answer := httpx.get(f"{service.url}/readyz", trust_env=False)).status_code == 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
    assert answer.status_code == 503
    return answer


def test_a_store_on_a_full_disk_says_507_and_loses_nothing_it_acknowledged(
    disk: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = RunningService(
        disk / "data", cache_dir, environment={"SM3_SLOTS": "0", "SM3_MIN_FREE_BYTES": "200000"}
    )
    log = disk.parent / "service.log"  # on another disk, as a journal would be
    (disk / "data").mkdir()
    (disk / "data" / "service.log").symlink_to(log)
    service.start()
    refusals = acknowledged = 0
    ballast = disk / "ballast"
    try:
        with service.client as client:
            job_id = client.launch(tiny_job()).id
        for round_ in range(ROUNDS):
            # Each round leaves some room, fills it with frames, and ends with a full disk: by SQLite or by others.
            fill_but(ballast, RESERVE_BYTES // ROUNDS)
            with service.client as client:
                refused, error = put_until_refused(client, job_id, acknowledged)
                assert error.problem.status == 507
                assert error.problem.type == "urn:sm3-scope:problem:insufficient-storage"
                assert "Free some space" in error.problem.detail
                acknowledged, refusals = refused, refusals + 1
                fill(ballast)
                with pytest.raises(ServiceError) as again:
                    client.put_frame(job_id, 0, refused, frame(job_id, refused))
                assert again.value.problem.status == 507
                refusals += 1
                stored = [info.seq for info in client.frames(job_id, limit=5000).items]
                assert stored == list(range(acknowledged)), (
                    "what is stored can be read while the disk is full"
                )
            ready = not_ready(service)
            failed = [check["name"] for check in ready.json()["checks"] if check["verdict"] == "failed"]
            assert "disk of the data folder" in failed
            assert httpx.get(f"{service.url}/healthz", trust_env=False).status_code == 200
            if round_ % 2:
                service.stop(signal.SIGKILL)
            free(ballast)
            if round_ % 2:
                service.start()
            with service.client as client:
                client.put_frame(job_id, 0, refused, frame(job_id, refused))
                acknowledged = refused + 1
                for seq in range(acknowledged):  # a worker that heard no answer sends again
                    client.put_frame(job_id, 0, seq, frame(job_id, seq))
                stored = [info.seq for info in client.frames(job_id, limit=5000).items]
                assert stored == list(range(acknowledged)), "each exactly once"
                assert client.job(job_id).progress.frames == acknowledged
                last = decode(client.frame(job_id, 0, refused))
                assert np.array_equal(last.arrays["a/b/c"], decode(frame(job_id, refused)).arrays["a/b/c"])
                steps = client.metrics(job_id, ["loss"], max_points=5000).series["loss"].steps
                assert steps == tuple(range(1, acknowledged + 1))
        assert service.stop() == 0
        with closing(sqlite3.connect(disk / "data" / "store.sqlite3")) as store:
            assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        if service.process is not None and service.process.poll() is None:
            service.stop(signal.SIGKILL)
    with capsys.disabled():
        print(
            f"\nstore: {ROUNDS} times full ({ROUNDS // 2} with kill -9), {refusals} refusals with 507, "
            f"{acknowledged} frames acknowledged, 0 lost, 0 twice, integrity ok"
        )


@pytest.mark.parametrize("until_the_end", [False, True], ids=["for a while", "beyond the last step"])
def test_training_goes_on_over_a_full_disk_and_every_step_is_told_when_there_is_room(
    disk: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str], until_the_end: bool
) -> None:
    steps = 400
    service = RunningService(
        disk / "data",
        cache_dir,
        environment={"SM3_STOP_WORKERS_ON_EXIT": "true", "SM3_MIN_FREE_BYTES": "0"},
    )
    log = disk.parent / "service.log"
    (disk / "data").mkdir()
    (disk / "data" / "service.log").symlink_to(log)
    service.start()
    ballast = disk / "ballast"
    try:
        with service.client as client:
            small = {"every": 20, "probes": ["accumulators"]}
            job = client.launch(tiny_job(steps=steps, record=small))
            service.wait_for(job.id, lambda j: j.progress.frames > 2)
            fill(ballast)
            before = client.job(job.id).progress
            full_s = 30.0 if until_the_end else 3.0
            deadline = time.monotonic() + full_s
            while time.monotonic() < deadline:
                fill(ballast)  # what the service or the worker has given up since
                assert client.job(job.id).state is JobState.RUNNING, "the job neither fails nor is lost"
                time.sleep(0.2)
            during = client.job(job.id).progress
            free(ballast)
            ended = service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=100)
            seqs = [info.seq for info in client.frames(job.id, limit=5000).items]
            told = client.metrics(job.id, ["loss"], max_points=5000).series["loss"].steps
        assert seqs == list(range(len(seqs)))
        assert told == tuple(range(1, steps + 1)), "the loss of every step is there, once"
        dropped = ended.progress.frames_dropped
        assert 0 < dropped <= steps // 20
        assert f"the arrays of {dropped} frames were dropped" in ended.cause or not until_the_end
    finally:
        service.stop()
    with capsys.disabled():
        print(
            f"\nspool: full for {full_s:.0f} s from step {before.step} (service knew {during.step} of {steps}), "
            f"{len(seqs)} frames stored once, {dropped} frames without arrays, {len(told)} of {steps} losses; "
            f"{ended.cause}"
        )


@pytest.mark.disk_mib(
    24
)  # a checkpoint of the smallest model has 7.4 MB; two are kept and one is being written
def test_a_checkpoint_without_room_is_told_and_the_job_goes_on_exactly_when_there_is_room(
    disk: Path, cache_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps, every = 600, 20
    spec = tiny_job(
        steps=steps,
        record={"every": 50, "probes": ["accumulators"]},
        checkpoint={"every": every, "keep": 2},
        retry={"attempts": 3, "backoff_s": 0},
    )
    quiet = RunningService(tmp_path / "undisturbed", cache_dir).start()
    try:
        with quiet.client as client:
            twin = client.launch(spec)
            quiet.wait_for(twin.id, JobState.SUCCEEDED, timeout_s=110)
            expected = client.weights(twin.id, steps)
    finally:
        quiet.stop()
    service = RunningService(
        disk / "data",
        cache_dir,
        environment={"SM3_STOP_WORKERS_ON_EXIT": "true", "SM3_MIN_FREE_BYTES": "0"},
    )
    (disk / "data").mkdir()
    (disk / "data" / "service.log").symlink_to(disk.parent / "service.log")
    service.start()
    ballast = disk / "ballast"
    try:
        with service.client as client:
            job = client.launch(spec)
            service.wait_for(job.id, lambda _: len(client.checkpoints(job.id)) > 0)
            deadline = time.monotonic() + 60
            while not (warning := client.job(job.id).warning):
                fill_but(ballast, 512 * 1024)  # enough for the store, too little for a checkpoint
                assert time.monotonic() < deadline, "the full disk was never told"
                assert not client.job(job.id).state.is_final
                time.sleep(0.05)
            kept = [checkpoint.step for checkpoint in client.checkpoints(job.id)]
            assert kept, "the last good checkpoint stays"
            os.kill(worker_pid(service, job.id), signal.SIGKILL)  # while full: it goes on from what it has
            time.sleep(1)
            free(ballast)
            ended = service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=100)
            assert ended.attempt >= 1
            assert ended.warning == "", "taken back with the next checkpoint"
            assert client.weights(job.id, steps) == expected, "bit for bit those of the undisturbed run"
    finally:
        service.stop()
    with capsys.disabled():
        print(f"\ncheckpoints: told {warning!r}; kept {kept}, killed while full, went on to the same weights")

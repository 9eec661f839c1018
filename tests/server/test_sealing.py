"""Sealing in a running service: viewers of a job that trains, or has ended, notice nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import parquet
from pydantic import ValidationError

from server.settings import Settings
from sm3.remote.frames import decode
from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job


@pytest.fixture
def sealing(tmp_path: Path, cache_dir: Path) -> Iterator[RunningService]:
    environment = {
        "SM3_STOP_WORKERS_ON_EXIT": "true",
        "SM3_SEAL_EVERY_S": "0.2",
        "SM3_SEAL_AFTER_S": "0",
        "SM3_SEAL_ENDED_AFTER_S": "0",
        "SM3_SEAL_KEEP_FRAMES": "3",
        "SM3_SEGMENTS_URL": str(tmp_path / "old frames"),
    }
    running = RunningService(tmp_path / "data", cache_dir, environment=environment).start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


def num_sealed(folder: Path) -> int:
    return sum(parquet.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def test_a_job_whose_frames_are_sealed_under_way_reads_like_any_other(
    sealing: RunningService, tmp_path: Path
) -> None:
    with sealing.client as client:
        job = client.launch(tiny_job(steps=300, record={"every": 1}))
        done = sealing.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)
        deadline = time.monotonic() + 30
        while num_sealed(tmp_path / "old frames") < 297 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert num_sealed(tmp_path / "old frames") == 297
        assert (done.progress.frames, done.progress.frames_dropped) == (300, 0)
        infos = client.frames(job.id, limit=5000).items
        assert [info.seq for info in infos] == list(range(300))
        for seq in (0, 255, 256, 296, 297, 299):
            frame = decode(client.frame(job.id, 0, seq))
            assert (frame.seq, frame.job) == (seq, job.id)
        assert client.metrics(job.id).series["loss"].num_points == 300
        told = [event for event in client.events(job.id) if event.name == "frame"]
        assert [event.data["seq"] for event in told] == list(range(300))
    # A service that is started without the setting still finds them.
    sealing.stop()
    del sealing.environment["SM3_SEGMENTS_URL"]
    sealing.start()
    with sealing.client as client:
        assert decode(client.frame(job.id, 0, 5)).seq == 5
    assert "Traceback" not in sealing.log


def test_a_place_for_segments_that_cannot_be_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="nowhere"):
        Settings(segments_url="nowhere://bucket")
    assert Settings(segments_url="~/old").segments_url == str(Path.home() / "old")


def test_on_a_shared_database_nothing_is_sealed_before_a_shared_place_is_named(tmp_path: Path) -> None:
    assert Settings().seals
    assert not Settings(seal_every_s=0).seals
    shared = "postgresql://127.0.0.1/x"
    assert not Settings(database_url=shared).seals
    assert Settings(database_url=shared, segments_url=str(tmp_path)).seals

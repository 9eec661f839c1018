"""The way from a loop to the service: nothing taken is lost, nothing blocks, what does not fit is counted."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sm3.remote.client import ServiceError, Unreachable
from sm3.remote.frames import decode
from sm3.remote.spool import Spool, SpoolFull
from sm3.remote.tracker import Tracker
from sm3.remote.wire import Problem


class FakeClient:
    """Takes frames like the service; can be away, and can refuse."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.away = threading.Event()
        self.refuse_with: int | None = None
        self.refuse_manifest_with: int | None = None
        self.manifests = 0

    def put_manifest(self, job_id: str, manifest: object) -> None:
        del job_id, manifest
        if self.refuse_manifest_with is not None:
            raise ServiceError(Problem(type="t", title="t", status=self.refuse_manifest_with, detail="no"))
        self.manifests += 1

    def put_frame(self, job_id: str, attempt: int, seq: int, blob: bytes) -> None:
        del job_id, attempt, seq
        if self.away.is_set():
            raise Unreachable("http://nowhere", "away")
        if self.refuse_with is not None:
            raise ServiceError(Problem(type="t", title="t", status=self.refuse_with, detail="refused"))
        self.frames.append(blob)


def tracker(client: FakeClient, folder: Path) -> Tracker:
    return Tracker(client, "job", attempt=0, folder=folder, now=lambda: 5.0)  # type: ignore[arg-type]


ARRAYS = {"a/b/c": np.arange(3, dtype=np.float32)}


def test_frames_arrive_in_order_and_the_spool_is_empty_after(tmp_path: Path) -> None:
    client = FakeClient()
    track = tracker(client, tmp_path)
    for step in range(1, 6):
        track.scalar("loss", step, step / 2)
        track.frame(step, ARRAYS)
    assert track.close(10)
    decoded = [decode(blob) for blob in client.frames]
    assert [(f.seq, f.step) for f in decoded] == [(i, i + 1) for i in range(5)]
    assert [f.scalars.latest()["loss"] for f in decoded] == [0.5, 1.0, 1.5, 2.0, 2.5]
    assert Spool(tmp_path).pending() == []


def test_frames_wait_on_disk_while_the_service_is_away_and_arrive_later(tmp_path: Path) -> None:
    client = FakeClient()
    client.away.set()
    track = tracker(client, tmp_path)
    for step in (1, 2, 3):
        track.frame(step, ARRAYS)
    assert not track.close(0.2)
    assert len(Spool(tmp_path).pending()) == 3
    client.away.clear()
    assert track.close(10)
    assert [decode(blob).seq for blob in client.frames] == [0, 1, 2]


def test_a_full_spool_drops_arrays_counts_them_and_keeps_the_scalars(tmp_path: Path) -> None:
    client = FakeClient()
    client.away.set()
    track = tracker(client, tmp_path)
    track.frame(1, ARRAYS)
    track._spool = Spool(tmp_path, limit_bytes=1)
    track.scalar("loss", 2, 2.5)
    track.frame(2, ARRAYS)
    assert track.frames_dropped == 1
    track._spool = Spool(tmp_path)
    track.frame(3, ARRAYS)
    client.away.clear()
    assert track.close(10)
    last = decode(client.frames[-1])
    assert [decode(blob).seq for blob in client.frames] == [0, 1]
    assert last.scalars.latest() == {"loss": 2.5, "frames_dropped": 1.0}


def test_scalars_that_a_full_disk_kept_back_at_the_end_are_sent_once_there_is_room(tmp_path: Path) -> None:
    client = FakeClient()
    track = tracker(client, tmp_path)
    track._spool = Spool(tmp_path, limit_bytes=1)
    for step in (1, 2):
        track.scalar("loss", step, step / 2)
        track.frame(step, ARRAYS)
    assert track.frames_dropped == 2
    assert "the arrays of 2 frames were dropped" in track.drops_in_words
    making_room = threading.Timer(0.5, lambda: setattr(track, "_spool", Spool(tmp_path)))
    making_room.start()
    assert track.close(10)
    making_room.join()
    (frame,) = [decode(blob) for blob in client.frames]
    assert (frame.seq, frame.step, dict(frame.arrays)) == (0, 2, {})
    steps, losses = frame.scalars.by_series()["loss"]
    assert (steps.tolist(), losses.tolist()) == ([1, 2], [0.5, 1.0])
    assert frame.scalars.latest()["frames_dropped"] == 2.0


def test_closing_on_a_disk_that_stays_full_says_that_something_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    track = tracker(FakeClient(), tmp_path)
    track._spool = Spool(tmp_path, limit_bytes=1)
    track.scalar("loss", 1, 1.0)
    track.frame(1, ARRAYS)
    assert not track.close(0.3)
    assert "1 scalars up to step 1 are lost: no room" in caplog.text
    assert track.frames_dropped == 1, "trying again is not dropping again"


def test_a_frame_that_the_service_can_never_take_is_dropped_and_counted(tmp_path: Path) -> None:
    client = FakeClient()
    client.refuse_with = 422
    track = tracker(client, tmp_path)
    track.frame(1, ARRAYS)
    while not track.frames_dropped:
        time.sleep(0.01)
    client.refuse_with = None
    track.frame(2, ARRAYS)
    assert track.close(10)
    assert [decode(blob).scalars.latest()["frames_dropped"] for blob in client.frames] == [1.0]


def test_a_manifest_that_the_service_can_never_take_holds_no_frame_back(tmp_path: Path) -> None:
    client = FakeClient()
    client.refuse_manifest_with = 422
    track = tracker(client, tmp_path)
    track.manifest(object())  # type: ignore[arg-type]
    track.frame(1, ARRAYS)
    assert track.close(10)
    assert len(client.frames) == 1


def test_a_manifest_waits_like_a_frame_while_the_service_is_away(tmp_path: Path) -> None:
    client = FakeClient()
    client.refuse_manifest_with = 503
    track = tracker(client, tmp_path)
    track.manifest(object())  # type: ignore[arg-type]
    track.frame(1, ARRAYS)
    assert not track.close(0.3)
    assert client.frames == []
    client.refuse_manifest_with = None
    assert track.close(10)
    assert (client.manifests, len(client.frames)) == (1, 1)


def test_an_attempt_that_is_out_of_date_ends_delivery(tmp_path: Path) -> None:
    client = FakeClient()
    client.refuse_with = 409
    track = tracker(client, tmp_path)
    track.frame(1, ARRAYS)
    assert not track.close(10)
    assert track.fenced == "refused"


@pytest.mark.parametrize("status", [401, 404, 500, 507])
def test_a_refusal_that_may_pass_is_repeated(tmp_path: Path, status: int) -> None:
    client = FakeClient()
    client.refuse_with = status
    track = tracker(client, tmp_path)
    track.frame(1, ARRAYS)
    assert not track.close(0.3)
    client.refuse_with = None
    assert track.close(10)
    assert len(client.frames) == 1


def test_the_spool_refuses_what_does_not_fit_and_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=10)
    spool.put(0, 0, b"12345")
    with pytest.raises(SpoolFull, match="at most 10 may"):
        spool.put(0, 1, b"123456")
    assert [entry.seq for entry in spool.pending()] == [0]


def test_a_half_written_frame_is_never_pending(tmp_path: Path) -> None:
    (tmp_path / "000000-000000000007.tmp").write_bytes(b"half")
    assert Spool(tmp_path).pending() == []


def test_the_spool_gives_frames_in_the_order_of_attempt_and_number(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for attempt, seq in ((1, 0), (0, 10), (0, 9)):
        spool.put(attempt, seq, b"x")
    assert [(e.attempt, e.seq) for e in spool.pending()] == [(0, 9), (0, 10), (1, 0)]
    for entry in spool.pending():
        entry.forget()
        entry.forget()
    assert spool.waiting_bytes() == 0

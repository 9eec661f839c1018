"""Sealing: whoever asks, and whatever dies when, every frame is there once and reads the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from sqlalchemy import func, select

from server.store import Database, FrameStore, JobStore, Rule, Sealer, Segments
from server.store.recording import CHUNK_FRAMES, add_many
from server.store.sealer import ABANDONED_S, Batch, Changed
from server.store.segments import SealedFrame, SegmentError, check_place
from server.store.tables import FrameRow, JobRow, SegmentRow
from sm3.remote.frames import Frame, encode
from sm3.remote.wire import JobView
from tests.conftest import tiny_job
from tests.server.store.recorded import blob

NUM_FRAMES = CHUNK_FRAMES + 44
ALL = Rule(after_s=0, ended_after_s=0, keep_frames=0, min_frames=1)


@pytest.fixture(params=["data folder", "folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where segments go."""
    if request.param == "s3":
        return str(request.getfixturevalue("bucket"))
    return "" if request.param == "data folder" else str(tmp_path / "elsewhere")


@pytest.fixture
def segments(tmp_path: Path) -> Segments:
    return Segments(tmp_path / "segments")


@pytest.fixture
def frames(database: Database, segments: Segments) -> FrameStore:
    return FrameStore(database, segments, now=lambda: 100.0)


def recorded(jobs: JobStore, frames: FrameStore, num_frames: int = NUM_FRAMES) -> JobView:
    job = jobs.create(tiny_job())
    sent = (blob(job, seq, **{"rate_p50/w": 0.25 * seq}) for seq in range(num_frames))
    with frames.database.write() as session:
        add_many(session, job.id, sent)
    return job


def everything(frames: FrameStore, job_id: str) -> dict[str, Any]:
    """Returns all that the store tells of a job's frames, by every query there is."""
    told: dict[str, Any] = {"pages": [], "points": []}
    after, more = (-1, -1), True
    while more:
        page, more = frames.page(job_id, after=after, limit=100)
        points = frames.points(job_id, after=after, limit=100)
        told["pages"] += page
        told["points"] += [(a, s, step, found.latest()) for a, s, step, found in points]
        after = (page[-1].attempt, page[-1].seq) if page else after
    told["blobs"] = [frames.blob(job_id, info.attempt, info.seq) for info in told["pages"]]
    told["newest"] = (frames.newest(job_id), frames.newest_series(job_id))
    for job_wide in (True, False):
        series = frames.history(job_id, job_wide=job_wide).by_series()
        told[f"history {job_wide}"] = {k: (s.tolist(), v.tolist()) for k, (s, v) in series.items()}
    return told


def num_unsealed(database: Database) -> int:
    with database.read() as session:
        query = select(func.count()).select_from(FrameRow).where(FrameRow.segment_id.is_(None))
        return int(session.scalar(query))


def test_whoever_asks_cannot_tell_that_frames_were_sealed(
    database: Database, jobs: JobStore, tmp_path: Path, place: str
) -> None:
    segments = Segments(tmp_path / "segments", place)
    frames = FrameStore(database, segments)
    job, other = recorded(jobs, frames), recorded(jobs, frames, 3)
    before = everything(frames, job.id), everything(frames, other.id)
    sealer = Sealer(database, segments, Rule(after_s=10, keep_frames=20, min_frames=1))
    assert sealer.run() == NUM_FRAMES - 20
    assert num_unsealed(database) == 20 + 3
    # Read by a service that has another place for new segments now.
    frames = FrameStore(database, Segments(tmp_path / "segments"))
    assert (everything(frames, job.id), everything(frames, other.id)) == before
    assert sealer.run() == 0
    sealing_all = Sealer(database, segments, ALL)
    assert sealing_all.run() == 23
    assert (everything(frames, job.id), everything(frames, other.id)) == before
    assert frames.blob(job.id, 0, NUM_FRAMES) is None
    with database.read() as session:
        emptied = select(func.count()).select_from(FrameRow).where(func.length(FrameRow.blob) > 0)
        assert session.scalar(emptied) == 0


def test_frames_go_on_coming_after_others_were_sealed(
    database: Database, jobs: JobStore, frames: FrameStore, segments: Segments
) -> None:
    job = jobs.create(tiny_job())
    sealer = Sealer(database, segments, ALL)
    numbers = [*range(100), *range(101, 150), 100, *range(150, CHUNK_FRAMES + 9)]
    sent = {seq: blob(job, seq) for seq in numbers}
    for count, seq in enumerate(numbers):
        assert frames.add(job.id, sent[seq]).is_new
        if count % 70 == 69:
            assert sealer.run() > 0
            assert not frames.add(job.id, sent[seq]).is_new, "a sealed frame that is sent again is there"
    told = everything(frames, job.id)
    assert told["blobs"] == [sent[seq] for seq in sorted(sent)]
    assert [(a, s, step) for a, s, step, _ in told["points"]] == [(0, s, s + 1) for s in sorted(sent)]
    steps, _ = told["history True"]["loss"]
    assert sorted(steps) == list(range(1, CHUNK_FRAMES + 10))


def test_what_is_old_follows_the_rule(
    database: Database, jobs: JobStore, frames: FrameStore, segments: Segments
) -> None:
    job = recorded(jobs, frames, 10)  # each made at 50.0

    def sealed(rule: Rule, now: float) -> int:
        sealer = Sealer(database, segments, rule, now=lambda: now)
        return sum(len(batch.seqs) for batch in sealer._batches(job.id))

    aged = Rule(after_s=100, ended_after_s=30, keep_frames=4, min_frames=3)
    assert sealed(aged, 149.9) == 0
    assert sealed(aged, 150.0) == 6
    assert sealed(Rule(after_s=100, keep_frames=8, min_frames=3), 150.0) == 0, "two are not worth a segment"
    assert sealed(Rule(after_s=100, keep_frames=20, min_frames=0), 150.0) == 0
    jobs.cancel(job.id, "asked")  # at 100.0
    assert sealed(aged, 129.9) == 0
    assert sealed(aged, 130.0) == 6
    assert sealed(Rule(after_s=1e9, ended_after_s=1, keep_frames=9, min_frames=100), 130.0) == 1


def test_a_frame_from_the_future_waits_and_so_do_those_behind_it(
    database: Database, jobs: JobStore, frames: FrameStore, segments: Segments
) -> None:
    job = jobs.create(tiny_job())
    for seq, at_s in enumerate((50.0, 50.0, 90_000.0, 50.0)):
        frames.add(job.id, encode(Frame(job.id, 0, seq, seq, at_s, {"a/b/c": np.ones(1, np.float32)})))
    before = everything(frames, job.id)
    rule = Rule(after_s=100, keep_frames=0, min_frames=1)
    assert Sealer(database, segments, rule, now=lambda: 1000.0).run() == 2
    assert Sealer(database, segments, rule, now=lambda: 90_100.0).run() == 2
    assert everything(frames, job.id) == before


def test_large_frames_make_several_segments_of_several_row_groups(
    database: Database, jobs: JobStore, frames: FrameStore, segments: Segments
) -> None:
    job = jobs.create(tiny_job())
    noise = np.random.default_rng(0).random(1_500_000).astype(np.float32)
    for seq in range(12):
        arrays = {"a/b/c": noise + np.float32(seq)}
        frames.add(job.id, encode(Frame(job.id, 0, seq, seq, 50.0, arrays)))
    sent = [frames.blob(job.id, 0, seq) for seq in range(12)]
    assert Sealer(database, segments, ALL).run() == 12
    groups = [parquet.ParquetFile(path).num_row_groups for path in sorted(segments.folder.glob("*.parquet"))]
    assert groups == [11, 1]  # 6 MB a frame: one a group, eleven in 64 MiB
    assert [frames.blob(job.id, 0, seq) for seq in range(12)] == sent


DYING = """
import os, signal, sys
from pathlib import Path
from server.store import Database, Sealer, Segments
from server.store.sealer import Rule
url, folder, place, when = sys.argv[1:]
def step(name):
    if name == when:
        os.kill(os.getpid(), signal.SIGKILL)
class Dying(Sealer):
    def _read(self, batch):
        for group in super()._read(batch):
            yield group
            step("half written")
sealer = Dying(Database(url), Segments(Path(folder), place), Rule(0, 0, 0, 1), step=step)
sealer.run()
"""
STEPS = ["announced", "half written", "written", "switched", "sealed"]


@pytest.mark.parametrize("when", STEPS)
def test_a_sealer_killed_after_any_step_loses_and_doubles_nothing(
    store_url: str, database: Database, jobs: JobStore, tmp_path: Path, when: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    segments = Segments(tmp_path / "segments", str(elsewhere))
    frames = FrameStore(database, segments)
    job = recorded(jobs, frames)
    before = everything(frames, job.id)
    command = [sys.executable, "-c", DYING, store_url, str(segments.folder), str(elsewhere), when]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert everything(frames, job.id) == before
    assert num_unsealed(database) == (0 if when == "sealed" else NUM_FRAMES)
    # Another sealer comes at once, and one much later, when what the first left counts as abandoned.
    expected = 0 if when == "sealed" else NUM_FRAMES
    assert Sealer(database, segments, ALL).run() == expected
    assert everything(frames, job.id) == before
    for path in segments.folder.glob("*.tmp"):
        os.utime(path, (0, 0))
    assert Sealer(database, segments, ALL, now=_much_later).run() == 0
    assert everything(frames, job.id) == before
    assert_files_are_the_rows(database, elsewhere, num_segments=1)
    assert list(segments.folder.iterdir()) == []


def _much_later() -> float:
    import time

    return time.time() + 2 * ABANDONED_S


def assert_files_are_the_rows(database: Database, folder: Path, *, num_segments: int) -> None:
    with database.read() as session:
        rows = {row.id: row for row in session.scalars(select(SegmentRow))}
    assert {path.name for path in folder.iterdir()} == {f"{id_}.parquet" for id_ in rows}
    assert len(rows) == num_segments
    for id_, row in rows.items():
        assert (folder / f"{id_}.parquet").stat().st_size == row.size_bytes
        assert row.sealed_s is not None


class Died(BaseException):
    """Not an error that anything handles: as good as a kill."""


def dying(when: str) -> Callable[[str], None]:
    def step(name: str) -> None:
        if name == when:
            raise Died

    return step


@pytest.mark.parametrize("when", ["disowned", "removed"])
def test_a_sweep_killed_half_way_is_finished_by_the_next(
    database: Database, jobs: JobStore, frames: FrameStore, segments: Segments, when: str
) -> None:
    job, kept = recorded(jobs, frames, 40), recorded(jobs, frames, 30)
    Sealer(database, segments, ALL).run()
    before = everything(frames, kept.id)
    with database.write() as session:
        session.delete(session.get(JobRow, job.id))
    with pytest.raises(Died):
        Sealer(database, segments, ALL, step=dying(when)).sweep()
    assert Sealer(database, segments, ALL).sweep() == 1
    assert Sealer(database, segments, ALL).sweep() == 0
    assert_files_are_the_rows(database, segments.folder, num_segments=1)
    assert everything(frames, kept.id) == before
    assert frames.page(job.id, limit=5) == ((), False)


def test_a_slow_writer_that_was_taken_for_dead_gives_up_and_frames_stay(
    database: Database, jobs: JobStore, frames: FrameStore, segments: Segments
) -> None:
    job = recorded(jobs, frames, 20)
    before = everything(frames, job.id)

    def impatient(name: str) -> None:
        if name == "written":
            assert Sealer(database, segments, ALL, now=_much_later).sweep() == 1

    slow = Sealer(database, segments, ALL, step=impatient)
    (batch,) = slow._batches(job.id)
    with pytest.raises(Changed, match="swept away"):
        slow.seal(batch)
    assert everything(frames, job.id) == before
    assert list(segments.folder.iterdir()) == []
    assert Sealer(database, segments, ALL).run() == 20
    assert everything(frames, job.id) == before


def test_of_two_services_that_seal_the_same_frames_one_does(
    store_url: str, database: Database, jobs: JobStore, frames: FrameStore, segments: Segments
) -> None:
    job = recorded(jobs, frames, 20)
    before = everything(frames, job.id)
    other = Database(store_url)

    def overtaken(name: str) -> None:
        if name == "written":
            assert Sealer(other, segments, ALL).run() == 20

    slow = Sealer(database, segments, ALL, step=overtaken)
    (batch,) = slow._batches(job.id)
    with pytest.raises(Changed, match="no longer what they were"):
        slow.seal(batch)
    assert everything(frames, job.id) == before
    assert_files_are_the_rows(database, segments.folder, num_segments=1)
    other.close()


@pytest.mark.parametrize("when", ["announced", "written"])
def test_a_job_deleted_while_it_is_sealed_leaves_no_file(
    database: Database, jobs: JobStore, frames: FrameStore, segments: Segments, when: str
) -> None:
    job = recorded(jobs, frames, 20)

    def deleted(name: str) -> None:
        if name == when:
            with database.write() as session:
                session.delete(session.get(JobRow, job.id))

    sealer = Sealer(database, segments, ALL, step=deleted)
    (batch,) = sealer._batches(job.id)
    with pytest.raises(Changed):
        sealer.seal(batch)
    assert list(segments.folder.iterdir()) == []
    assert Sealer(database, segments, ALL).sweep() == 0


def test_a_disk_that_is_full_or_a_file_that_reads_back_otherwise_seals_nothing(
    database: Database,
    jobs: JobStore,
    frames: FrameStore,
    segments: Segments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = recorded(jobs, frames, 20)
    before = everything(frames, job.id)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            Sealer(database, segments, ALL).run()
    with monkeypatch.context() as patch:
        patch.setattr("server.store.segments._check_sum", lambda _: (20, "other"))
        with pytest.raises(SegmentError, match="reads back otherwise"):
            Sealer(database, segments, ALL).run()
    assert (everything(frames, job.id), num_unsealed(database)) == (before, 20)
    assert list(segments.folder.iterdir()) == []
    assert Sealer(database, segments, ALL).run() == 20


def test_a_segment_that_is_gone_or_lacks_a_frame_says_so(segments: Segments) -> None:
    segments.write("s", "j", [[SealedFrame(0, seq, seq, 1.0, b"s", bytes([seq])) for seq in range(5)]])
    assert segments.read("", "s", "blob", [1, 3]) == {1: b"\x01", 3: b"\x03"}
    with pytest.raises(SegmentError, match=r"lacks frames \[7\]"):
        segments.read("", "s", "blob", [1, 7])
    with pytest.raises(FileNotFoundError):
        segments.read("", "t", "blob", [1])
    segments.remove("", "s")
    segments.remove("", "s")


def test_groups_hold_every_frame_once_in_order() -> None:
    sizes = [1, 5 * 2**20, 3, 4 * 2**20, 1, *[10] * 600]
    batch = Batch("j", 0, range(len(sizes)), sizes)
    groups = list(batch.groups())
    assert [seq for group in groups for seq in group] == list(range(len(sizes)))
    assert [len(group) for group in groups[:5]] == [1, 1, 1, 1, 256]


def test_a_place_that_nothing_here_speaks_with_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        check_place("nowhere://x")


def test_a_store_from_before_sealing_is_sealed_like_any_other(
    empty_url: str, segments: Segments, backend: str
) -> None:
    from tests.server.store.test_migrations import made_at

    sent = made_at(empty_url, "0001")
    database = Database(empty_url)
    assert Sealer(database, segments, ALL).run() == 1
    with database.read() as session:
        job_id = session.scalar(select(JobRow.id))
    assert FrameStore(database, segments).newest(job_id) == sent
    database.close()

"""Frames in the store, on SQLite and PostgreSQL: once, in order, fenced, however their history is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from server.store import Database, FrameStore, JobStore, StaleAttempt, UnknownJob
from server.store.recording import CHUNK_FRAMES, add_many
from server.store.tables import JobRow
from sm3.remote.frames import read_header
from tests.conftest import tiny_job
from tests.server.store.recorded import blob


def test_a_frame_is_stored_once_however_often_it_is_sent(jobs: JobStore, frames: FrameStore) -> None:
    job = jobs.create(tiny_job())
    assert frames.add(job.id, blob(job, 0)).is_new
    assert not frames.add(job.id, blob(job, 0)).is_new
    items, more = frames.page(job.id, limit=10)
    assert [item.seq for item in items] == [0]
    assert not more
    assert jobs.get(job.id).progress.frames == 1


def test_a_stale_attempt_is_fenced_off(jobs: JobStore, frames: FrameStore) -> None:
    job = jobs.create(tiny_job())
    with pytest.raises(StaleAttempt, match="attempt 3 given, but the job is at attempt 0"):
        frames.add(job.id, blob(job, 0, attempt=3))
    with pytest.raises(StaleAttempt):
        jobs.set_phase(job.id, "hello", attempt=1)
    with pytest.raises(UnknownJob):
        frames.add("nobody", blob(job, 0))
    assert frames.newest(job.id) is None


def test_the_frame_of_a_step_is_the_newest_that_is_not_beyond_it(jobs: JobStore, frames: FrameStore) -> None:
    job = jobs.create(tiny_job())
    assert frames.at_step(job.id, 10) is None
    for seq in range(4):
        frames.add(job.id, blob(job, seq))
    steps = [item.step for item in frames.page(job.id, limit=10)[0]]
    assert len(set(steps)) == 4
    for step in range(steps[-1] + 3):
        found = frames.at_step(job.id, step)
        assert found is not None
        assert read_header(found).step == max((s for s in steps if s <= step), default=steps[0])


def test_history_is_the_same_before_and_after_it_is_gathered(jobs: JobStore, frames: FrameStore) -> None:
    job = jobs.create(tiny_job())
    last = CHUNK_FRAMES + 5
    for seq in range(last):
        frames.add(job.id, blob(job, seq, **{"rate_p50/w": float(seq)}))
        if seq in {CHUNK_FRAMES - 2, CHUNK_FRAMES - 1, last - 1}:
            for job_wide, name in ((True, "loss"), (False, "rate_p50/w")):
                steps, values = frames.history(job.id, job_wide=job_wide).by_series()[name]
                assert steps.tolist() == list(range(1, seq + 2))
                assert len(values) == seq + 1


def test_history_misses_nothing_when_frames_come_out_of_order(jobs: JobStore, frames: FrameStore) -> None:
    job = jobs.create(tiny_job())
    for seq in (*range(100), *range(101, CHUNK_FRAMES), 100, *range(CHUNK_FRAMES, 2 * CHUNK_FRAMES)):
        frames.add(job.id, blob(job, seq))
    steps, _ = frames.history(job.id, job_wide=True).by_series()["loss"]
    assert sorted(steps.tolist()) == list(range(1, 2 * CHUNK_FRAMES + 1))


def test_nan_is_kept_in_history_and_null_in_progress(jobs: JobStore, frames: FrameStore) -> None:
    job = jobs.create(tiny_job())
    frames.add(job.id, blob(job, 0, loss=float("nan")))
    assert np.isnan(frames.history(job.id, job_wide=True).by_series()["loss"][1]).all()
    assert jobs.get(job.id).progress.loss is None


def test_what_was_stored_is_there_after_reopening(store_url: str) -> None:
    first = Database(store_url)
    job = JobStore(first).create(tiny_job())
    sent = blob(job, 0)
    FrameStore(first).add(job.id, sent)
    first.close()
    second = Database(store_url)
    assert FrameStore(second).newest(job.id) == sent
    second.close()


def test_history_holds_the_last_frames_of_an_attempt_that_another_followed(
    jobs: JobStore, frames: FrameStore, database: Database
) -> None:
    job = jobs.create(tiny_job())
    for seq in range(CHUNK_FRAMES + 4):
        frames.add(job.id, blob(job, seq))
    with database.write() as session:
        session.get_one(JobRow, job.id).attempt = 1
    for seq in range(CHUNK_FRAMES + 2):
        frames.add(job.id, blob(job, seq, attempt=1))
    steps, _ = frames.history(job.id, job_wide=True).by_series()["loss"]
    assert steps.tolist() == [*range(1, CHUNK_FRAMES + 5), *range(1, CHUNK_FRAMES + 3)]


def test_frames_of_one_job_that_come_at_once_are_all_counted_and_gathered(store_url: str) -> None:
    services = [Database(store_url) for _ in range(2)]
    job = JobStore(services[0]).create(tiny_job())
    stores = [FrameStore(database) for database in services]

    def send(worker: int) -> list[bool]:
        # Every frame is sent by two threads, through two services.
        return [
            stores[(worker + seq) % 2].add(job.id, blob(job, seq)).is_new
            for seq in range(CHUNK_FRAMES)
            if seq % 3 != worker
        ]

    with ThreadPoolExecutor(3) as pool:
        new = [is_new for sent in pool.map(send, range(3)) for is_new in sent]
    assert (len(new), sum(new)) == (512, CHUNK_FRAMES)
    assert JobStore(services[0]).get(job.id).progress.frames == CHUNK_FRAMES
    steps, _ = stores[0].history(job.id, job_wide=True).by_series()["loss"]
    assert sorted(steps.tolist()) == list(range(1, CHUNK_FRAMES + 1))
    for database in services:
        database.close()


def test_many_frames_at_once_make_the_same_history_as_one_by_one(
    jobs: JobStore, frames: FrameStore, database: Database
) -> None:
    one_by_one, at_once = jobs.create(tiny_job()), jobs.create(tiny_job())
    numbers = range(2 * CHUNK_FRAMES + 10)
    for seq in numbers:
        frames.add(one_by_one.id, blob(one_by_one, seq, **{"rate_p50/w": 0.5 * seq}))
    sent = [blob(at_once, seq, **{"rate_p50/w": 0.5 * seq}) for seq in numbers]
    with database.write() as session:
        assert add_many(session, at_once.id, iter(sent)) == len(numbers)
    for job_wide in (True, False):
        expected = frames.history(one_by_one.id, job_wide=job_wide).by_series()
        found = frames.history(at_once.id, job_wide=job_wide).by_series()
        assert {k: (s.tolist(), v.tolist()) for k, (s, v) in found.items()} == {
            k: (s.tolist(), v.tolist()) for k, (s, v) in expected.items()
        }
    assert frames.page(at_once.id, limit=9)[0] == frames.page(one_by_one.id, limit=9)[0]
    assert [frames.blob(at_once.id, 0, seq) for seq in numbers] == sent

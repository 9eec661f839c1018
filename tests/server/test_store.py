"""The store: once, in order, fenced, and with a history that does not depend on how it is kept."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from server.auth import digest
from server.lifecycle import IllegalMove
from server.store import (
    ComparisonStore,
    Database,
    FrameStore,
    JobStore,
    StaleAttempt,
    UnknownComparison,
    UnknownJob,
)
from server.store.frames import CHUNK_FRAMES
from server.store.tables import Base, JobRow
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.frames import Frame, Point, Scalars, encode
from sm3.remote.wire import JobState, JobView
from tests.conftest import tiny_job


@pytest.fixture
def database(tmp_path: Path):
    found = Database(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    yield found
    found.close()


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database, now=lambda: 100.0)


@pytest.fixture
def frames(database: Database) -> FrameStore:
    return FrameStore(database, now=lambda: 100.0)


def blob(job: JobView, seq: int, *, attempt: int = 0, **scalars: float) -> bytes:
    step = seq + 1
    points = Scalars.from_points(
        Point(name, step, value) for name, value in {"loss": seq / 2, **scalars}.items()
    )
    return encode(Frame(job.id, attempt, seq, step, 50.0, {"a/b/c": np.ones(2, np.float32)}, points))


def test_migrations_make_exactly_the_tables_that_the_code_knows(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.migrate()


def test_sqlite_is_in_wal_mode_and_syncs_what_it_commits(database: Database) -> None:
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_an_illegal_move_raises_and_changes_nothing(jobs: JobStore) -> None:
    job = jobs.create(tiny_job())
    with pytest.raises(IllegalMove):
        jobs.move(job.id, JobState.RUNNING, "no")
    assert jobs.get(job.id) == job
    assert len(jobs.transitions(job.id)) == 1


def test_cancelling_ends_a_queued_job_asks_a_running_one_and_repeats_harmlessly(jobs: JobStore) -> None:
    queued, running = jobs.create(tiny_job()), jobs.create(tiny_job())
    assert jobs.cancel(queued.id, "asked").state is JobState.CANCELLED
    jobs.claim("d")
    assert jobs.cancel(running.id, "asked").state is JobState.CANCELLING
    assert jobs.cancel(running.id, "again").cause == "asked"
    jobs.move(running.id, JobState.SUCCEEDED, "it was done first")
    with pytest.raises(IllegalMove):
        jobs.cancel(running.id, "too late")


def test_every_move_is_logged_with_its_cause(jobs: JobStore) -> None:
    job = jobs.create(tiny_job())
    assert jobs.claim(digest("t")).id == job.id
    jobs.move(job.id, JobState.RUNNING, "going")
    jobs.move(job.id, JobState.FAILED, "it broke")
    assert [(t.number, t.state, t.cause) for t in jobs.transitions(job.id)][2:] == [
        (2, "running", "going"),
        (3, "failed", "it broke"),
    ]
    assert jobs.get(job.id).finished_at is not None


def test_jobs_are_claimed_oldest_first_and_by_one_claimer_each(jobs: JobStore) -> None:
    created = [jobs.create(tiny_job()).id for _ in range(12)]
    claimed: list[str] = []
    threads = [
        threading.Thread(target=lambda: claimed.extend(j.id for _ in range(4) if (j := jobs.claim("d"))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(created)
    assert jobs.claim("d") is None


def test_pages_hold_every_job_once_newest_first_even_while_jobs_come(jobs: JobStore) -> None:
    created = [jobs.create(tiny_job()).id for _ in range(7)]
    first = jobs.page(after=None, limit=3, state=None)
    jobs.create(tiny_job())
    second = jobs.page(after=first.next, limit=3, state=None)
    third = jobs.page(after=second.next, limit=3, state=None)
    listed = [job.id for page in (first, second, third) for job in page.items]
    assert listed == created[::-1]
    assert third.next is None
    assert jobs.page(after=None, limit=9, state=JobState.FAILED).items == ()


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


def test_what_was_stored_is_there_after_reopening(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.sqlite3'}"
    first = Database(url)
    job = JobStore(first).create(tiny_job())
    sent = blob(job, 0)
    FrameStore(first).add(job.id, sent)
    first.close()
    second = Database(url)
    assert FrameStore(second).newest(job.id) == sent
    second.close()


def races(num_seeds: int = 2, label: str = "") -> ComparisonSpec:
    return ComparisonSpec.model_validate({
        "base": tiny_job(),
        "variants": [{"name": "a"}, {"name": "b", "change": {"schedule": None}}],
        "seeds": list(range(num_seeds)),
        "label": label,
    })


@pytest.fixture
def comparisons(database: Database) -> ComparisonStore:
    return ComparisonStore(database, now=lambda: 100.0)


def test_a_comparisons_jobs_are_claimed_seed_by_seed(comparisons: ComparisonStore, jobs: JobStore) -> None:
    made, queued = comparisons.create(races())
    claimed = [jobs.claim("d") for _ in range(4)]
    assert [job.id for job in claimed] == [job.id for job in queued]
    assert [(job.spec.seed, job.spec.labels["variant"]) for job in claimed] == [
        (0, "a"),
        (0, "b"),
        (1, "a"),
        (1, "b"),
    ]
    a, b = made.variants
    assert (*zip(a.jobs, b.jobs, strict=True),) == (
        (queued[0].id, queued[1].id),
        (queued[2].id, queued[3].id),
    )
    assert comparisons.get(made.id).states == {JobState.STARTING: 4}
    assert jobs.transitions(queued[3].id)[0].state is JobState.QUEUED


def test_a_comparison_that_cannot_be_queued_whole_is_not_queued_at_all(
    comparisons: ComparisonStore, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = races()
    three = list(spec.jobs("x"))[:3]

    def breaks_off(_: ComparisonSpec, __: str):
        yield from three
        raise OSError("no more")

    monkeypatch.setattr(ComparisonSpec, "jobs", breaks_off)
    with pytest.raises(OSError, match="no more"):
        comparisons.create(spec)
    assert jobs.page(after=None, limit=9, state=None).items == ()
    assert comparisons.page(after=None, limit=9).items == ()


def test_cancelling_a_comparison_leaves_what_has_ended(comparisons: ComparisonStore, jobs: JobStore) -> None:
    made, queued = comparisons.create(races())
    jobs.claim("d")
    jobs.move(queued[0].id, JobState.SUCCEEDED, "test")
    jobs.claim("d")
    changed = comparisons.cancel(made.id, "asked")
    assert [(job.id, job.state) for job in changed] == [
        (queued[1].id, "cancelling"),
        (queued[2].id, "cancelled"),
        (queued[3].id, "cancelled"),
    ]
    assert comparisons.cancel(made.id, "again") == ()
    assert jobs.get(queued[0].id).state is JobState.SUCCEEDED
    assert comparisons.get(made.id).states == {"succeeded": 1, "cancelling": 1, "cancelled": 2}


def test_comparisons_are_paged_and_one_that_is_not_there_is_told(comparisons: ComparisonStore) -> None:
    made = [comparisons.create(races(1, label=str(k)))[0] for k in range(5)]
    first = comparisons.page(after=None, limit=3)
    second = comparisons.page(after=first.next, limit=3)
    assert [found.id for found in (*first.items, *second.items)] == [found.id for found in made[::-1]]
    assert first.items[0] == comparisons.get(made[-1].id) == made[-1]
    assert (first.items[0].label, second.next) == ("4", None)
    for ask in (comparisons.get, comparisons.jobs, lambda x: comparisons.cancel(x, "")):
        with pytest.raises(UnknownComparison):
            ask("nobody")


def test_a_job_that_is_no_more_leaves_its_place_empty(
    comparisons: ComparisonStore, database: Database
) -> None:
    made, queued = comparisons.create(races())
    with database.write() as session:
        session.delete(session.get(JobRow, queued[2].id))
    assert comparisons.get(made.id).variants[0].jobs == (queued[0].id, None)
    assert set(comparisons.jobs(made.id)) == {(0, 0), (1, 0), (1, 1)}


def test_a_store_of_the_first_version_is_brought_up_to_date_with_all_that_it_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.sqlite3'}"
    first = Database(url)
    job = JobStore(first).create(tiny_job())
    with first.write() as session:
        for statement in (
            "DROP TABLE tokens",
            "DROP TABLE comparison_jobs",
            "DROP TABLE comparisons",
            "UPDATE alembic_version SET version_num = '0001'",
        ):
            session.execute(text(statement))
    first.close()
    second = Database(url)
    assert JobStore(second).get(job.id) == job
    assert ComparisonStore(second).create(races())[0].states == {JobState.QUEUED: 4}
    second.close()

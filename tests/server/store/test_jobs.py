"""Jobs in the store, on SQLite and PostgreSQL: legal moves only, each claimed once, listed once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from server.auth import digest
from server.lifecycle import IllegalMove
from server.store import Database, JobFilter, JobStore, UnknownJob
from server.store.tables import JobRow, TransitionRow
from sm3.remote.wire import JobState
from tests.conftest import tiny_job
from tests.postgres import Postgres


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
    first = jobs.page(after=None, limit=3)
    jobs.create(tiny_job())
    second = jobs.page(after=first.next, limit=3)
    third = jobs.page(after=second.next, limit=3)
    listed = [job.id for page in (first, second, third) for job in page.items]
    assert listed == created[::-1]
    assert third.next is None
    assert jobs.page(JobFilter(states=(JobState.FAILED,)), limit=9).items == ()


def test_two_services_on_one_store_start_every_job_once(store_url: str) -> None:
    services = [Database(store_url) for _ in range(2)]
    jobs = [JobStore(database) for database in services]
    created = [jobs[0].create(tiny_job()).id for _ in range(60)]
    together = threading.Barrier(8)

    def claim(worker: int) -> list[str]:
        together.wait()
        taken = []
        while (job := jobs[worker % 2].claim("d", home=f"home {worker % 2}")) is not None:
            taken.append(job.id)
        return taken

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(claim, range(8)))
    assert sorted(id_ for taken in claimed for id_ in taken) == created
    for id_ in created:
        assert [t.state for t in jobs[0].transitions(id_)] == ["queued", "starting"]
    ours, theirs = ({job.id for job in jobs[0].with_worker(f"home {k}")} for k in range(2))
    assert ours | theirs == set(created)
    assert not ours & theirs
    for database in services:
        database.close()


def test_on_postgresql_a_claim_does_not_wait_for_one_that_is_under_way(
    postgres: Postgres, migrated: str
) -> None:
    database = Database(postgres.url(postgres.new_database(migrated)))
    jobs = JobStore(database)
    first, second = jobs.create(tiny_job()), jobs.create(tiny_job())
    with database.write() as session:
        session.get_one(JobRow, first.id, with_for_update=True)
        assert jobs.claim("d").id == second.id
        assert jobs.claim("d") is None
    assert jobs.claim("d").id == first.id
    database.close()


def test_of_moves_that_exclude_each_other_one_wins_and_the_log_has_no_gap(store_url: str) -> None:
    services = [Database(store_url) for _ in range(2)]
    jobs = [JobStore(database) for database in services]
    for _ in range(10):
        job = jobs[0].create(tiny_job())
        jobs[0].claim("d")
        jobs[0].move(job.id, JobState.RUNNING, "going")
        together = threading.Barrier(4)

        def end(worker: int, job_id: str = job.id, together: threading.Barrier = together) -> bool:
            state = (JobState.SUCCEEDED, JobState.FAILED, JobState.CRASHED, JobState.SUCCEEDED)[worker]
            together.wait()
            try:
                jobs[worker % 2].move(job_id, state, f"by {worker}")
            except IllegalMove:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(end, range(4))) == 1
        log = jobs[0].transitions(job.id)
        assert [t.number for t in log] == [0, 1, 2, 3]
        assert log[-1].cause == jobs[0].get(job.id).cause
    for database in services:
        database.close()


def test_a_job_that_has_run_goes_on_where_it_ran(jobs: JobStore, database: Database) -> None:
    job = jobs.create(tiny_job())
    jobs.claim("d", home="here")
    with database.write() as session:
        session.get_one(JobRow, job.id).state = JobState.QUEUED
    assert jobs.claim("d", home="there") is None
    assert jobs.claim("d", home="here").id == job.id


def test_a_nul_in_a_text_is_taken_and_in_an_id_finds_nothing(jobs: JobStore) -> None:
    job = jobs.create(tiny_job(labels={"note": "a\x00b"}))
    assert jobs.get(job.id).spec.labels["note"] == "a\x00b"
    assert jobs.set_phase(job.id, "half\x00way", attempt=0).phase
    assert "\x00" not in jobs.get(job.id).phase
    with pytest.raises(UnknownJob):
        jobs.get("no\x00body")
    assert jobs.page(after="0\x00", limit=3).next is None


def test_a_reader_sees_one_state_however_long_it_reads(jobs: JobStore, database: Database) -> None:
    job = jobs.create(tiny_job())
    count = select(func.count()).select_from(TransitionRow)
    with database.read() as session:
        assert session.get_one(JobRow, job.id).state == "queued"
        jobs.cancel(job.id, "meanwhile")
        assert session.scalar(count) == 1
        assert session.get_one(JobRow, job.id, populate_existing=True).state == "queued"
    with database.read() as session:
        assert session.get_one(JobRow, job.id).state == "cancelled"
        assert session.scalar(count) == 2


def test_what_raises_in_a_write_leaves_nothing(jobs: JobStore, database: Database) -> None:
    job = jobs.create(tiny_job())

    def breaks_off() -> None:
        with database.write() as session:
            session.get_one(JobRow, job.id).cause = "half"
            session.flush()
            raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        breaks_off()
    assert jobs.get(job.id) == job

"""The supervisor with an executor that does as it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from server import checkpoint_files
from server.execution.base import Ask
from server.execution.settle import Settler
from server.execution.supervisor import AlreadySupervised, Supervisor, exclusive
from server.service import Service
from server.settings import Settings
from server.store import JobStore
from server.store.frames import StoredFrame
from sm3.remote.frames import Frame, encode
from sm3.remote.spool import Spool
from sm3.remote.wire import JobState, Manifest, Memory, WorkerReport
from tests.conftest import tiny_job
from tests.server.puppets import Puppets


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    opened = Service.open(Settings(data_dir=tmp_path / "data", slots=2, cancel_grace_s=1.0))
    yield opened
    opened.database.close()


@pytest.fixture
def puppets(tmp_path: Path) -> Puppets:
    return Puppets(tmp_path)


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def supervisor(service: Service, puppets: Puppets, clock: list[float]) -> Supervisor:
    return Supervisor(service, puppets, clock=lambda: clock[0])


def running(service: Service, supervisor: Supervisor, **changes: object) -> str:
    """A job that runs, and is not tried again when it crashes unless told otherwise."""
    job = service.jobs.create(tiny_job(**{"retry": {"attempts": 0}, **changes}))
    supervisor.round()
    service.jobs.move(job.id, JobState.RUNNING, "going")
    return job.id


def test_no_more_jobs_start_than_there_are_slots(
    service: Service, supervisor: Supervisor, puppets: Puppets
) -> None:
    ids = [service.jobs.create(tiny_job()).id for _ in range(3)]
    supervisor.round()
    assert puppets.alive == set(ids[:2])
    puppets.alive.discard(ids[0])
    supervisor.round()
    assert puppets.alive == {ids[1], ids[2]}


def test_a_worker_that_cannot_be_started_ends_its_job_with_the_reason(
    service: Service, supervisor: Supervisor, puppets: Puppets
) -> None:
    puppets.refuse = OSError(28, "No space left on device")
    job = service.jobs.create(tiny_job())
    supervisor.round()
    assert service.jobs.get(job.id).state is JobState.CRASHED
    assert "No space left on device" in service.jobs.get(job.id).cause


def test_a_cancelled_worker_is_asked_first_and_forced_when_its_time_is_up(
    service: Service, supervisor: Supervisor, puppets: Puppets, clock: list[float]
) -> None:
    job_id = running(service, supervisor)
    service.jobs.cancel(job_id, "asked")
    supervisor.round()
    clock[0] = 0.5
    supervisor.round()
    assert puppets.told == [(job_id, Ask.CANCEL)]
    clock[0] = 1.1
    supervisor.round()
    assert puppets.told[-1] == (job_id, Ask.KILL)
    supervisor.round()
    assert service.jobs.get(job_id).state is JobState.CANCELLED


def test_the_rounds_are_slow_again_once_a_cancelled_worker_has_told_its_own_end(
    service: Service, supervisor: Supervisor, puppets: Puppets
) -> None:
    idle_s = supervisor.pause_s
    job_id = running(service, supervisor)
    service.jobs.cancel(job_id, "asked")
    supervisor.round()
    assert supervisor.pause_s < idle_s
    service.jobs.move(job_id, JobState.CANCELLED, "its own word")
    puppets.alive.discard(job_id)
    supervisor.round()
    assert supervisor.pause_s == idle_s


def manifest(attempt: int, *, resumed_step: int = 0) -> Manifest:
    numbers = dict.fromkeys(
        ("num_parameters", "parameter_bytes", "accumulator_bytes", "momentum_bytes", "state_bytes"), 1
    )
    memory = Memory(**numbers, adam_bytes=1, adagrad_bytes=1)
    return Manifest(attempt=attempt, resumed_step=resumed_step, tensors=(), memory=memory)


def leave(puppets: Puppets, job_id: str, state: str, cause: str) -> None:
    word = WorkerReport.model_validate({"attempt": 0, "state": state, "cause": cause})
    puppets.outcome_file(job_id, 0).write_text(word.model_dump_json())


@pytest.mark.parametrize(
    ("outcome", "cancelled", "state", "cause"),
    [
        (None, False, "crashed", "exit status 7"),
        ("succeeded", False, "succeeded", "its word"),
        ("failed", False, "failed", "its word"),
        ("cancelled", False, "crashed", "a signal from outside ended the worker: its word"),
        (None, True, "cancelled", "asked"),
        ("succeeded", True, "succeeded", "its word"),
        ("failed", True, "cancelled", "asked"),
    ],
)
def test_what_becomes_of_a_job_follows_from_what_its_worker_left(
    service: Service,
    supervisor: Supervisor,
    puppets: Puppets,
    outcome: str | None,
    cancelled: bool,
    state: str,
    cause: str,
) -> None:
    job_id = running(service, supervisor)
    if cancelled:
        service.jobs.cancel(job_id, "asked")
    if outcome:
        leave(puppets, job_id, outcome, "its word")
    puppets.alive.discard(job_id)
    supervisor.round()
    ended = service.jobs.get(job_id)
    assert (ended.state, cause in ended.cause) == (state, True), ended.cause


def checkpoint(puppets: Puppets, job_id: str, step: int) -> None:
    with checkpoint_files.publishing(puppets.checkpoints_dir(job_id), step) as folder:
        (folder / checkpoint_files.MODEL).write_bytes(b"weights")


def test_a_paused_job_frees_its_slot_and_goes_on_as_the_next_attempt(
    service: Service, supervisor: Supervisor, puppets: Puppets
) -> None:
    paused, other = running(service, supervisor), running(service, supervisor)
    waiting = service.jobs.create(tiny_job()).id
    service.jobs.pause(paused, "asked")
    supervisor.round()
    assert puppets.told == [(paused, Ask.PAUSE)]
    checkpoint(puppets, paused, 20)
    leave(puppets, paused, "paused", "paused after step 20 of 30")
    puppets.alive.discard(paused)
    supervisor.round()
    found = service.jobs.get(paused)
    assert (found.state, found.cause) == (
        JobState.PAUSED,
        "asked; it goes on after step 20 when it is resumed",
    )
    assert puppets.alive == {other, waiting}
    assert service.jobs.ingest_digest(paused) == ""
    puppets.alive.clear()
    for job_id in (other, waiting):
        leave(puppets, job_id, "succeeded", "done")
    service.jobs.resume(paused, "asked")
    supervisor.round()
    assert puppets.alive == {paused}
    assert service.jobs.get(paused).attempt == 1
    assert puppets.attempts == [0, 0, 0, 1]


def test_a_worker_that_something_else_asked_to_make_way_is_started_again(
    service: Service, supervisor: Supervisor, puppets: Puppets
) -> None:
    job_id = running(service, supervisor)
    leave(puppets, job_id, "paused", "paused after step 20 of 30")
    puppets.alive.discard(job_id)
    supervisor.round()
    again = service.jobs.transitions(job_id)[-2:]
    assert [change.state for change in again] == [JobState.QUEUED, JobState.STARTING]
    assert again[0].cause == "a signal from outside asked its worker to make way; it begins again"
    assert service.jobs.get(job_id).failures == 0


def test_a_worker_that_does_not_make_way_in_time_is_ended_and_its_job_is_paused_all_the_same(
    service: Service, supervisor: Supervisor, puppets: Puppets, clock: list[float]
) -> None:
    job_id = running(service, supervisor)
    service.jobs.pause(job_id, "asked")
    for clock[0] in (0.0, 59.0, 61.0):
        supervisor.round()
    assert puppets.told == [(job_id, Ask.PAUSE), (job_id, Ask.KILL)]
    supervisor.round()
    assert service.jobs.get(job_id).state is JobState.PAUSED


def test_cancelling_a_job_that_is_pausing_asks_its_worker_anew(
    service: Service, supervisor: Supervisor, puppets: Puppets
) -> None:
    job_id = running(service, supervisor)
    service.jobs.pause(job_id, "asked")
    supervisor.round()
    service.jobs.cancel(job_id, "not that")
    supervisor.round()
    assert puppets.told == [(job_id, Ask.PAUSE), (job_id, Ask.CANCEL)]


def test_a_crashed_worker_is_tried_again_ever_later_until_its_job_gives_up(
    service: Service, supervisor: Supervisor, puppets: Puppets, clock: list[float]
) -> None:
    job_id = running(service, supervisor, retry={"attempts": 2, "backoff_s": 4.0})
    for failures, wait_s in ((1, 4.0), (2, 8.0)):
        puppets.alive.discard(job_id)
        supervisor.round()
        found = service.jobs.get(job_id)
        assert (found.state, found.failures) == (JobState.QUEUED, failures)
        assert found.cause == (
            f"the worker process ended with exit status 7; retry {failures} of 2: it begins again"
        )
        clock[0] += wait_s - 0.1
        supervisor.round()
        assert puppets.alive == set()
        clock[0] += 0.2
        supervisor.round()
        assert puppets.alive == {job_id}
        assert service.jobs.get(job_id).attempt == failures
    puppets.alive.discard(job_id)
    supervisor.round()
    found = service.jobs.get(job_id)
    assert found.state is JobState.CRASHED
    assert (
        found.cause == "the worker process ended with exit status 7; 3 crashes in a row, retry.attempts is 2"
    )


def test_crashes_are_counted_anew_once_a_job_got_on(
    service: Service, supervisor: Supervisor, puppets: Puppets, clock: list[float]
) -> None:
    job_id = running(service, supervisor, retry={"attempts": 1, "backoff_s": 0})
    for attempt in range(4):
        service.jobs.set_manifest(job_id, manifest(attempt, resumed_step=10 * attempt))
        checkpoint(puppets, job_id, 10 * (attempt + 1))
        puppets.alive.discard(job_id)
        supervisor.round()
        supervisor.round()
        assert service.jobs.get(job_id).state is JobState.STARTING
        assert service.jobs.get(job_id).failures == 1
    assert puppets.attempts == [0, 1, 2, 3, 4]


def test_a_job_that_takes_more_memory_than_it_may_fails_saying_so_and_is_not_tried_again(
    service: Service, supervisor: Supervisor, puppets: Puppets
) -> None:
    limit = 2**28
    job_id = running(service, supervisor, limits={"memory_bytes": limit}, retry={"attempts": 5})
    puppets.used_bytes = limit
    supervisor.round()
    assert puppets.alive == {job_id}
    puppets.used_bytes = limit + 1
    supervisor.round()
    assert puppets.told == [(job_id, Ask.KILL)]
    supervisor.round()
    found = service.jobs.get(job_id)
    assert found.state is JobState.FAILED
    assert found.cause.startswith(
        "its worker took 268,435,457 bytes of memory, limits.memory_bytes is 268,435,456;"
    )


def test_a_worker_that_hangs_beyond_its_time_is_ended(
    service: Service, supervisor: Supervisor, puppets: Puppets, clock: list[float]
) -> None:
    job_id = running(service, supervisor, limits={"time_s": 5})
    for clock[0] in (0.0, 30.0, 36.0, 36.1):
        supervisor.round()
    assert puppets.told == [(job_id, Ask.KILL)]
    assert "limits.time_s of 5 s was used up inside a step" in service.jobs.get(job_id).cause


def test_jobs_that_ended_long_ago_are_deleted_with_their_files_unless_they_are_to_be_kept(
    tmp_path: Path, puppets: Puppets
) -> None:
    service = Service.open(Settings(data_dir=tmp_path / "data", retention_days=2))
    old, kept = (service.jobs.create(tiny_job(labels=labels)) for labels in ({}, {"keep": "yes"}))
    waiting = service.jobs.create(tiny_job())
    for job in (old, kept):
        service.jobs.cancel(job.id, "asked")
    folder = service.settings.jobs_dir / old.id
    folder.mkdir()
    supervisor = Supervisor(service, puppets)
    supervisor.service.settings.slots = 0
    supervisor.round()
    assert len(service.jobs.page().items) == 3
    later = JobStore(service.database, now=lambda: time.time() + 2.1 * 86_400)
    service.jobs = later
    Supervisor(service, puppets).round()
    assert {job.id for job in service.jobs.page().items} == {kept.id, waiting.id}
    assert not folder.exists()
    service.database.close()


def test_frames_left_in_the_spool_are_stored_and_told_before_the_end(
    service: Service, supervisor: Supervisor, puppets: Puppets
) -> None:
    job_id = running(service, supervisor)
    spool = Spool(puppets.spool_dir(job_id))
    for seq in range(2):
        spool.put(0, seq, encode(Frame(job_id, 0, seq, seq + 1, 1.0, {"a/b/c": np.ones(1, np.float32)})))
    spool.put(0, 2, b"damaged")
    puppets.alive.discard(job_id)
    told = supervisor.round()
    assert [type(item).__name__ for _, item in told] == ["StoredFrame", "StoredFrame", "JobView"]
    assert service.jobs.get(job_id).progress.frames == 2
    assert spool.pending() == []


def test_trouble_with_one_job_keeps_no_other_waiting(
    service: Service, supervisor: Supervisor, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubled, other = running(service, supervisor), running(service, supervisor)
    puppets.alive.clear()
    whole = Settler.drain

    def drain(settler: Settler, job_id: str) -> list[StoredFrame]:
        if job_id == troubled:
            raise OSError(28, "No space left on device")
        return whole(settler, job_id)

    with monkeypatch.context() as patch:
        patch.setattr(Settler, "drain", drain)
        supervisor.round()
    assert service.jobs.get(other).state is JobState.CRASHED
    assert service.jobs.get(troubled).state is JobState.RUNNING
    supervisor.round()
    assert "exit status 7" in service.jobs.get(troubled).cause


def test_stopping_ends_every_worker_even_if_the_store_does_not_answer(
    service: Service, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(service, puppets)
    job_id = running(service, supervisor)
    supervisor.round()

    def broken(_: object, __: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(service.jobs), "with_worker", broken)
    supervisor.stop_workers()
    assert puppets.alive == set()
    assert (job_id, Ask.PAUSE) in puppets.told


def test_a_job_that_finished_while_the_service_stopped_has_succeeded(
    service: Service, puppets: Puppets
) -> None:
    supervisor = Supervisor(service, puppets)
    done, other = running(service, supervisor), running(service, supervisor)
    leave(puppets, done, "succeeded", "all done")
    puppets.alive.discard(done)
    supervisor.stop_workers()
    assert service.jobs.get(done).state is JobState.SUCCEEDED
    stopped = service.jobs.get(other)
    assert stopped.state is JobState.QUEUED
    assert stopped.cause == "the service was stopped; it begins again when it is started again"
    assert stopped.failures == 0


def test_one_supervisor_works_on_a_folder(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(AlreadySupervised, match="Stop it, or set SM3_DATA_DIR"):
        exclusive(tmp_path).__enter__()
    with exclusive(tmp_path):
        pass

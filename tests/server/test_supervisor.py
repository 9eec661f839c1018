"""The supervisor with an executor that does as it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from server.execution.base import Ended, Executor, Launch
from server.execution.settle import Settler
from server.execution.supervisor import AlreadySupervised, Supervisor, exclusive
from server.service import Service
from server.settings import Settings
from server.store.frames import StoredFrame
from sm3.remote.frames import Frame, encode
from sm3.remote.spool import Spool
from sm3.remote.wire import JobState, WorkerReport
from tests.conftest import tiny_job


class Puppets(Executor):
    """Workers that live until they are told to end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alive: set[str] = set()
        self.told: list[tuple[str, bool]] = []
        self.refuse: OSError | None = None

    def submit(self, launch: Launch) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.alive.add(launch.job_id)

    def poll(self, job_id: str, attempt: int) -> Ended | None:
        return None if job_id in self.alive else Ended("the worker process ended with exit status 7")

    def stop(self, job_id: str, attempt: int, *, force: bool) -> None:
        self.told.append((job_id, force))
        if force:
            self.alive.discard(job_id)

    def forget(self, job_id: str, attempt: int) -> None: ...

    def spool_dir(self, job_id: str) -> Path:
        return self.folder / job_id

    def outcome_file(self, job_id: str, attempt: int) -> Path:
        return self.folder / f"{job_id}.outcome"


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


def running(service: Service, supervisor: Supervisor) -> str:
    job = service.jobs.create(tiny_job())
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
    assert puppets.told == [(job_id, False)]
    clock[0] = 1.1
    supervisor.round()
    assert puppets.told[-1] == (job_id, True)
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
        (None, True, "cancelled", "a user asked for it"),
        ("succeeded", True, "succeeded", "its word"),
        ("failed", True, "cancelled", "a user asked for it"),
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
    assert (job_id, False) in puppets.told


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
    assert (stopped.state, stopped.cause) == ("cancelled", "the service was stopped")


def test_one_supervisor_works_on_a_folder(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(AlreadySupervised, match="Stop it, or set SM3_DATA_DIR"):
        exclusive(tmp_path).__enter__()
    with exclusive(tmp_path):
        pass

"""Jobs in the store, on both backends: made once, found again, held, tried again, deleted with all that is theirs."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from server.lifecycle import IllegalMove
from server.store import (
    ComparisonStore,
    Database,
    FrameStore,
    JobFilter,
    JobStore,
    KeyReused,
    NotEnded,
    QueueFull,
    UnknownJob,
)
from server.store import frames as frames_module
from server.store.tables import Base
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.frames import Frame, Point, Scalars, encode
from sm3.remote.job_specs import JobPatch
from sm3.remote.wire import JobState, JobView
from tests.conftest import tiny_job


def frame(job: JobView, attempt: int, seq: int, step: int, loss: float = 0.5) -> bytes:
    scalars = Scalars.from_points([Point("loss", step, loss), Point("norm/w", step, loss)])
    return encode(Frame(job.id, attempt, seq, step, 1.0, {"a/b/w": np.ones(2, np.float32)}, scalars))


def go_on(jobs: JobStore) -> JobView:
    """Lets the one queued job start, and run."""
    job = jobs.claim("d")
    assert job is not None
    return jobs.move(job.id, JobState.RUNNING, "going")


# ── made once


def test_one_key_makes_one_job_and_another_body_is_refused(jobs: JobStore) -> None:
    first, is_new = jobs.create_once(tiny_job(), "k")
    assert is_new
    assert jobs.create_once(tiny_job(), "k") == (first, False)
    with pytest.raises(KeyReused, match="'k' came before with another body"):
        jobs.create_once(tiny_job(steps=31), "k")
    assert jobs.create_once(tiny_job(), "other")[1]
    assert len(jobs.page().items) == 2


def test_a_key_sent_by_many_at_once_makes_one_job(jobs: JobStore) -> None:
    made: list[tuple[JobView, bool]] = []
    barrier = threading.Barrier(6)

    def send() -> None:
        barrier.wait()
        made.append(jobs.create_once(tiny_job(), "k"))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1


def test_a_comparison_is_made_once_too(database: Database) -> None:
    comparisons = ComparisonStore(database)
    spec = ComparisonSpec.model_validate({
        "base": tiny_job().model_dump(mode="json"),
        "variants": [{"name": "a"}, {"name": "b", "change": {"optimizer": {"lr": 0.3}}}],
    })
    first, queued = comparisons.create(spec, key="k")
    assert len(queued) == 2
    again, none = comparisons.create(spec, key="k")
    assert (again.id, none) == (first.id, ())
    with pytest.raises(KeyReused):
        comparisons.create(spec.model_copy(update={"label": "other"}), key="k")
    assert len(JobStore(database).page().items) == 2


def test_no_more_jobs_wait_than_may_and_a_comparison_that_does_not_fit_leaves_none(
    database: Database,
) -> None:
    jobs, comparisons = JobStore(database, max_queued=2), ComparisonStore(database, max_queued=2)
    jobs.create(tiny_job())
    spec = ComparisonSpec.model_validate({
        "base": tiny_job().model_dump(mode="json"),
        "variants": [{"name": "a"}, {"name": "b"}],
    })
    with pytest.raises(QueueFull, match="1 jobs wait and 2 more were asked for; at most 2 may wait"):
        comparisons.create(spec)
    assert comparisons.page(after=None, limit=5).items == ()
    jobs.create_once(tiny_job(), "k")
    with pytest.raises(QueueFull):
        jobs.create(tiny_job())
    assert not jobs.create_once(tiny_job(), "k")[1], "what was made before is told all the same"
    go_on(jobs)
    jobs.create(tiny_job())


# ── found again


def test_lists_narrow_by_state_recipe_label_comparison_and_words(database: Database, jobs: JobStore) -> None:
    plain = jobs.create(tiny_job())
    adam = jobs.create(tiny_job(optimizer={"name": "adamw"}, labels={"course": "Spring", "group": "7"}))
    images = jobs.create(tiny_job(recipe={"name": "images"}, labels={"course": "autumn"}))
    jobs.change(images.id, JobPatch(notes="the run of Figure 3: 100% of it"))
    jobs.cancel(plain.id, "asked")
    comparison, (one, two) = ComparisonStore(database).create(
        ComparisonSpec.model_validate({
            "base": tiny_job().model_dump(mode="json"),
            "variants": [{"name": "a"}, {"name": "b"}],
        })
    )
    rest = {one.id, two.id}
    for wanted, expected in (
        (JobFilter(states=(JobState.CANCELLED,)), {plain.id}),
        (JobFilter(states=(JobState.CANCELLED, JobState.QUEUED), recipes=("images",)), {images.id}),
        (JobFilter(labels=("course",)), {adam.id, images.id}),
        (JobFilter(labels=("course:Spring", "group:7")), {adam.id}),
        (JobFilter(labels=("course:Spring", "group:8")), set()),
        (JobFilter(comparison=comparison.id), rest),
        (JobFilter(text="figure RUN"), {images.id}),
        (JobFilter(text="100%"), {images.id}),
        (JobFilter(text="1%3"), set()),
        (JobFilter(text="adamw"), {adam.id}),
        (JobFilter(text=adam.id[-8:]), {adam.id}),
    ):
        assert {job.id for job in jobs.page(wanted).items} == expected, wanted


def test_pages_are_not_shifted_by_jobs_that_are_made_or_deleted_meanwhile(jobs: JobStore) -> None:
    ids = [jobs.create(tiny_job()).id for _ in range(9)]
    seen: list[str] = []
    after = None
    while True:
        page = jobs.page(after=after, limit=2)
        seen += [job.id for job in page.items]
        jobs.create(tiny_job())
        if page.next is None:
            break
        after = page.next
        if after == ids[5]:
            jobs.cancel(after, "asked")
            jobs.delete(after)
    assert seen == ids[::-1]


def test_changing_labels_replaces_them_and_leaves_the_rest(jobs: JobStore) -> None:
    job = jobs.create(tiny_job(labels={"a": "1", "b": "2"}))
    changed = jobs.change(job.id, JobPatch(labels={"b": "3"}, priority=5))
    assert (changed.labels, changed.priority, changed.notes) == ({"b": "3"}, 5, "")
    assert changed.spec == job.spec, "what was asked for stays"
    assert jobs.page(JobFilter(labels=("a",))).items == ()
    assert jobs.change(job.id, JobPatch(notes="n")).labels == {"b": "3"}


# ── started, held, tried again


def test_the_highest_priority_starts_first_then_the_oldest_and_none_that_must_wait(jobs: JobStore) -> None:
    low, first, second = (jobs.create(tiny_job(priority=p)).id for p in (-1, 3, 3))
    urgent = jobs.create(tiny_job()).id
    jobs.change(urgent, JobPatch(priority=9))
    started = [jobs.claim("d", but=(first,)) for _ in range(4)]
    assert [job.id if job else None for job in started] == [urgent, second, low, None]


def test_a_queued_job_can_be_held_and_let_go(jobs: JobStore) -> None:
    job = jobs.create(tiny_job())
    assert jobs.pause(job.id, "asked").state is JobState.PAUSED
    assert jobs.pause(job.id, "asked").state is JobState.PAUSED
    assert jobs.claim("d") is None
    assert jobs.resume(job.id, "asked").state is JobState.QUEUED
    assert jobs.resume(job.id, "asked").state is JobState.QUEUED
    assert len(jobs.transitions(job.id)) == 3, "what changed nothing is not logged"
    started = jobs.claim("d")
    assert started is not None
    assert started.attempt == 0, "it has never run"


def test_what_cannot_be_paused_or_resumed_stays_as_it_is(jobs: JobStore) -> None:
    job = jobs.create(tiny_job())
    go_on(jobs)
    jobs.pause(job.id, "asked")
    with pytest.raises(IllegalMove, match="a job that is pausing cannot become queued"):
        jobs.resume(job.id, "asked")
    jobs.cancel(job.id, "asked")
    for forbidden in (jobs.pause, jobs.resume):
        with pytest.raises(IllegalMove):
            forbidden(job.id, "asked")
    assert jobs.get(job.id).state is JobState.CANCELLING


def test_each_attempt_has_its_number_and_a_token_of_its_own(jobs: JobStore) -> None:
    job = jobs.create(tiny_job())
    for attempt in range(3):
        started = jobs.claim(f"digest-{attempt}")
        assert started is not None
        assert started.attempt == attempt
        assert jobs.ingest_digest(job.id) == f"digest-{attempt}"
        assert started.started_at == jobs.get(job.id).started_at
        jobs.move(job.id, JobState.QUEUED, "its worker was lost", failures=attempt)
        assert jobs.ingest_digest(job.id) == ""


# ── frames of attempts


def test_steps_done_again_bring_nothing_new(database: Database, jobs: JobStore) -> None:
    frames = FrameStore(database)
    job = jobs.create(tiny_job())
    go_on(jobs)
    for seq in range(6):
        assert frames.add(job.id, frame(job, 0, seq, 10 * seq + 1)).is_new
    jobs.move(job.id, JobState.QUEUED, "lost")
    go_on(jobs)
    for seq in range(3, 9):  # from the checkpoint after the third frame on
        stored = frames.add(job.id, frame(job, 1, seq, 10 * seq + 1, loss=7.0))
        assert stored.is_new == (seq > 5)
    items, _ = frames.page(job.id, limit=50)
    assert [(f.attempt, f.seq) for f in items] == [(0, s) for s in range(6)] + [(1, s) for s in (6, 7, 8)]
    history = frames.history(job.id, job_wide=True).by_series()["loss"]
    assert history[0].tolist() == [10 * seq + 1 for seq in range(9)]
    assert jobs.get(job.id).progress.frames == 9


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    ends=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    steps_back=st.lists(st.integers(0, 20), min_size=5, max_size=5),
)
def test_history_is_the_same_however_often_a_job_was_interrupted(
    ends: list[int], steps_back: list[int]
) -> None:
    database = Database("sqlite://")
    jobs, frames = JobStore(database), FrameStore(database)
    job = jobs.create(tiny_job())
    seq = 0
    for attempt, (length, back) in enumerate(zip(ends, steps_back, strict=False)):
        go_on(jobs)
        first = max(0, seq - back)
        seq = first + length
        for number in range(first, seq):
            frames.add(job.id, frame(job, attempt, number, number + 1, loss=float(number)))
        jobs.move(job.id, JobState.QUEUED, "lost")
    last = jobs.get(job.id).progress.step
    for job_wide, series in ((True, "loss"), (False, "norm/w")):
        steps, values = frames.history(job.id, job_wide=job_wide).by_series()[series]
        assert steps.tolist() == list(range(1, last + 1))
        assert values.tolist() == [float(step - 1) for step in range(1, last + 1)]
    database.close()


# ── deleted


def test_deleting_a_job_leaves_nothing_of_it_and_all_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frames_module, "CHUNK_FRAMES", 8)
    database = Database("sqlite://")
    jobs, frames = JobStore(database), FrameStore(database)
    gone, kept = (jobs.create(tiny_job(labels={"a": "b"})) for _ in range(2))
    for job in (gone, kept):
        jobs.claim("d")
        jobs.move(job.id, JobState.RUNNING, "going")
        for seq in range(12):
            frames.add(job.id, frame(job, 0, seq, seq + 1))
    with pytest.raises(
        NotEnded, match="the job is running: cancel it and wait for its end before deleting it"
    ):
        jobs.delete(gone.id)
    jobs.move(gone.id, JobState.SUCCEEDED, "done")
    jobs.delete(gone.id)
    with pytest.raises(UnknownJob):
        jobs.get(gone.id)
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            if "job_id" in table.c:
                left = session.scalar(select(func.count()).where(table.c.job_id == gone.id))
                assert left == 0, table.name
    assert len(frames.history(kept.id, job_wide=True).by_series()["loss"][0]) == 12
    database.close()

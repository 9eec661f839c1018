"""Comparisons in the store, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from server.store import ComparisonStore, Database, JobStore, UnknownComparison
from server.store.tables import JobRow
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.wire import JobState
from tests.conftest import tiny_job


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
    assert jobs.page(after=None, limit=9).items == ()
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

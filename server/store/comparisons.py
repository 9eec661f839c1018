"""Comparisons: what was asked, and which job runs which variant at which seed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from server.store import job_rows
from server.store.database import Database
from server.store.ids import next_id
from server.store.jobs import NO_LIMIT
from server.store.keys import digest_of, made_with
from server.store.tables import ComparisonJobRow, ComparisonRow, JobRow
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import ComparisonPage, ComparisonView, VariantView
from sm3.remote.wire import JobState, JobView


class UnknownComparison(LookupError):  # noqa: N818 - reads as what it is
    """No comparison has this id."""

    def __init__(self, comparison_id: str) -> None:
        super().__init__(f"there is no comparison {comparison_id!r}")
        self.comparison_id = comparison_id


@dataclass(frozen=True)
class ComparisonStore:
    """Stores and reads comparisons; their jobs are jobs like any other.

    Args:
        database: where they are.
        now: Unix time in seconds.
        max_queued: how many jobs may wait.
    """

    database: Database
    now: Callable[[], float] = time.time
    max_queued: int = NO_LIMIT

    def create(
        self, spec: ComparisonSpec, *, key: str | None = None
    ) -> tuple[ComparisonView, tuple[JobView, ...]]:
        """Stores a comparison and queues all of its jobs, or changes nothing; returns it and the jobs that are new.

        A comparison that ``key`` made before is returned with no new jobs.

        Raises:
            KeyReused: ``key`` made another comparison before.
            QueueFull: with these jobs more would wait than may.
        """
        try:
            return self._create(spec, key)
        except IntegrityError:  # another request with the key came in between; its comparison is found now
            return self._create(spec, key)

    def _create(self, spec: ComparisonSpec, key: str | None) -> tuple[ComparisonView, tuple[JobView, ...]]:
        now = self.now()
        with self.database.write() as session:
            if key is not None and (found := made_with(session, ComparisonRow, key, spec)) is not None:
                (view,) = _views(session, [found])
                return view, ()
            job_rows.require_room(session, len(spec.variants) * len(spec.effective_seeds), self.max_queued)
            row = ComparisonRow(
                id=next_id(session, ComparisonRow.id),
                label=spec.label,
                spec=spec.model_dump_json(),
                created_s=now,
            )
            if key is not None:
                row.idempotency_key, row.body_digest = key, digest_of(spec)
            session.add(row)
            session.flush()
            queued = []
            for variant, seed, job in spec.jobs(row.id):
                queued.append(job_rows.insert(session, job, now))
                session.add(
                    ComparisonJobRow(comparison_id=row.id, variant=variant, seed=seed, job_id=queued[-1].id)
                )
            session.flush()
            (view,) = _views(session, [row])
            return view, tuple(map(job_rows.view, queued))

    def get(self, comparison_id: str) -> ComparisonView:
        """Returns a comparison. Raises `UnknownComparison`."""
        with self.database.read() as session:
            (view,) = _views(session, [_row(session, comparison_id)])
            return view

    def page(self, *, after: str | None, limit: int) -> ComparisonPage:
        """Returns up to ``limit`` comparisons, newest first, older than the one called ``after``."""
        query = select(ComparisonRow).order_by(ComparisonRow.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(ComparisonRow.id < after)
        with self.database.read() as session:
            rows = session.scalars(query).all()
            items = _views(session, rows[:limit])
        return ComparisonPage(items=items, next=items[-1].id if len(rows) > limit else None)

    def jobs(self, comparison_id: str) -> dict[tuple[int, int], JobView]:
        """Returns (number of the variant, number of the seed) to job. Raises `UnknownComparison`."""
        with self.database.read() as session:
            _row(session, comparison_id)
            query = (
                select(ComparisonJobRow.variant, ComparisonJobRow.seed, JobRow)
                .join(JobRow, JobRow.id == ComparisonJobRow.job_id)
                .where(ComparisonJobRow.comparison_id == comparison_id)
            )
            return {(variant, seed): job_rows.view(row) for variant, seed, row in session.execute(query)}

    def cancel(self, comparison_id: str, cause: str) -> tuple[JobView, ...]:
        """Stops the jobs that have not ended, all or none; returns those it changed. Raises `UnknownComparison`."""
        with self.database.write() as session:
            _row(session, comparison_id)
            query = (
                select(JobRow)
                .join(ComparisonJobRow, JobRow.id == ComparisonJobRow.job_id)
                .where(ComparisonJobRow.comparison_id == comparison_id)
                .order_by(JobRow.id)
                .with_for_update(of=JobRow, key_share=True)
            )
            changed = []
            for row in session.scalars(query):
                state = JobState(row.state)
                if state.is_final or state is JobState.CANCELLING:
                    continue
                job_rows.cancel(session, row, cause, self.now())
                changed.append(job_rows.view(row))
            return tuple(changed)


def _row(session: Session, comparison_id: str) -> ComparisonRow:
    row = session.get(ComparisonRow, comparison_id)
    if row is None:
        raise UnknownComparison(comparison_id)
    return row


def _views(session: Session, rows: Sequence[ComparisonRow]) -> tuple[ComparisonView, ...]:
    """Returns comparisons as they are shown; one query finds the jobs of all."""
    query = (
        select(ComparisonJobRow, JobRow.state)
        .join(JobRow, JobRow.id == ComparisonJobRow.job_id)
        .where(ComparisonJobRow.comparison_id.in_([row.id for row in rows]))
    )
    found: dict[str, dict[tuple[int, int], tuple[str, JobState]]] = {row.id: {} for row in rows}
    for job, state in session.execute(query):
        found[job.comparison_id][job.variant, job.seed] = (job.job_id, JobState(state))
    return tuple(_view(row, found[row.id]) for row in rows)


def _view(row: ComparisonRow, found: dict[tuple[int, int], tuple[str, JobState]]) -> ComparisonView:
    spec = ComparisonSpec.model_validate_json(row.spec)
    ids = {place: job_id for place, (job_id, _) in found.items()}
    seeds = spec.effective_seeds
    return ComparisonView(
        id=row.id,
        label=row.label,
        created_at=datetime.fromtimestamp(row.created_s, UTC),
        seeds=seeds,
        variants=tuple(
            VariantView(name=variant.name, jobs=tuple(ids.get((number, k)) for k in range(len(seeds))))
            for number, variant in enumerate(spec.variants)
        ),
        states=Counter(state for _, state in found.values()),
        spec=spec,
    )

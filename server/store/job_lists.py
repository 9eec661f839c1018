"""Which jobs a list shows, and in what order.

Newest first by id: ids are UUIDv7, so they sort by time of creation, and a job that is added while somebody pages comes
before the first page and moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, exists, select

from server.store.tables import ComparisonJobRow, JobRow, LabelRow
from sm3.remote.wire import JobState


@dataclass(frozen=True)
class JobFilter:
    """What a job must be to be listed; an empty field asks for nothing.

    Attributes:
        states: one of these.
        recipes: one of these.
        labels: all of these: ``key`` alone, or ``key:value``.
        comparison: one of this comparison's jobs.
        text: all words of it are in the job's id, recipe, optimizer, labels or notes, in any case.
    """

    states: tuple[JobState, ...] = ()
    recipes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    comparison: str = ""
    text: str = ""

    def of(self, query: Select[JobRow]) -> Select[JobRow]:
        """Returns ``query`` narrowed to these jobs."""
        if self.states:
            query = query.where(JobRow.state.in_(self.states))
        if self.recipes:
            query = query.where(JobRow.recipe.in_(self.recipes))
        for label in self.labels:
            key, colon, value = label.partition(":")
            has = select(LabelRow.job_id).where(LabelRow.job_id == JobRow.id, LabelRow.key == key)
            query = query.where(exists(has.where(LabelRow.value == value) if colon else has))
        if self.comparison:
            query = query.where(
                exists(
                    select(ComparisonJobRow.job_id).where(
                        ComparisonJobRow.job_id == JobRow.id,
                        ComparisonJobRow.comparison_id == self.comparison,
                    )
                )
            )
        for word in self.text.lower().split():
            query = query.where(JobRow.words.contains(word, autoescape=True))
        return query


def page_of(wanted: JobFilter, *, after: str | None, limit: int) -> Select[JobRow]:
    """Returns the query for ``limit`` jobs behind ``after``, and one more to tell whether there are more."""
    query = wanted.of(select(JobRow)).order_by(JobRow.id.desc()).limit(limit + 1)
    return query if after is None else query.where(JobRow.id < after)

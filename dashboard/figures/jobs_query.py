"""What the Jobs page shows, as its address says it: the filters of the API, grouping, order, selection and panel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from sm3.remote.recipe_specs import RecipeName
from sm3.remote.wire import JobState

STATES: dict[str, tuple[JobState, ...]] = {
    "queued": (JobState.QUEUED,),
    "running": (JobState.STARTING, JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING),
    "paused": (JobState.PAUSED,),
    "done": (JobState.SUCCEEDED,),
    "stopped": (JobState.CANCELLED,),
    "failed": (JobState.FAILED, JobState.CRASHED),
}
"""The states as the page offers them, in the order of a job's life."""

RECIPES: tuple[str, ...] = get_args(RecipeName)
SORTS = ("name", "state", "progress", "loss", "started")
"""What rows can be ordered by, each also backwards with a minus; '' is newest first."""

MAX_PICKED = 100
"""How many jobs can be picked: their ids make an address of 4 kB, which proxies still pass on."""

_LABEL = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}(:.{1,128})?")
_ID = re.compile(r"[0-9a-f-]{36}")
_GROUP = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


@dataclass(frozen=True)
class JobsQuery:
    """One view of the list of jobs.

    Attributes:
        state: keys of `STATES`; none: all.
        recipe: only jobs of this recipe.
        label: only jobs with all of these, each ``key`` or ``key:value``.
        comparison: only jobs of the comparison with this id.
        q: only jobs with all of these words.
        group: the setting whose values the rows are grouped by, see `jobs_groups.value_of`.
        sort: one of `SORTS`, with a minus for the largest first.
        after: the cursor of the page; '' is the newest.
        picked: ids of the chosen jobs.
        job: id of the job whose panel is open.
        clone: id of the job that the form starts from.
        launch: whether the form is open.
    """

    state: tuple[str, ...] = ()
    recipe: str = ""
    label: tuple[str, ...] = ()
    comparison: str = ""
    q: str = ""
    group: str = ""
    sort: str = ""
    after: str = ""
    picked: tuple[str, ...] = ()
    job: str = ""
    clone: str = ""
    launch: bool = False

    @property
    def is_filtered(self) -> bool:
        """Whether the list leaves jobs out."""
        return bool(self.state or self.recipe or self.label or self.comparison or self.q)

    @property
    def states(self) -> tuple[JobState, ...]:
        """The API's states that are asked for."""
        return tuple(state for name in self.state for state in STATES[name])

    @property
    def panel(self) -> tuple[str, str]:
        """Which panel is open, and of which job: ``launch``, ``clone`` or ``job``, or '' for none."""
        if self.job:
            return "job", self.job
        return ("clone", self.clone) if self.clone else ("launch" if self.launch else "", "")


@dataclass(frozen=True)
class Unknown:
    """A value of the address that means nothing here, and is left out."""

    name: str
    given: str
    allowed: str

    def __str__(self) -> str:
        """Returns it as a sentence."""
        return f"The address asks for {self.name} {self.given!r}; there is {self.allowed}."


def read(address: Mapping[str, str]) -> tuple[JobsQuery, tuple[Unknown, ...]]:
    """Returns the view that an address's query means, and what in it means nothing.

    >>> read({"state": "queued,gone", "sort": "-loss"})[1][0].given
    'gone'
    """
    wrong: list[Unknown] = []

    def kept(name: str, values: Iterable[str], is_known: object, allowed: str) -> tuple[str, ...]:
        known = []
        for value in values:
            if callable(is_known) and is_known(value):
                known.append(value)
            else:
                wrong.append(Unknown(name, value[:80], allowed))
        return tuple(dict.fromkeys(known))

    def one(name: str, is_known: object, allowed: str) -> str:
        value = address.get(name, "").strip()
        return next(iter(kept(name, [value] if value else [], is_known, allowed)), "")

    sorts = {f"{sign}{name}" for name in SORTS for sign in ("", "-")}
    query = JobsQuery(
        state=kept("state", _parts(address, "state"), STATES.__contains__, ", ".join(STATES)),
        recipe=one("recipe", RECIPES.__contains__, ", ".join(RECIPES)),
        label=kept("label", _parts(address, "label"), _LABEL.fullmatch, "`key` or `key:value`")[:8],
        comparison=one("comparison", _ID.fullmatch, "an id"),
        q=address.get("q", "").strip()[:200],
        group=one("group", _GROUP.fullmatch, "a setting, such as optimizer.lr"),
        sort=one("sort", sorts.__contains__, f"{', '.join(SORTS)}, each also with a minus"),
        after=one("after", _ID.fullmatch, "a cursor"),
        picked=kept("picked", _parts(address, "picked"), _ID.fullmatch, "an id")[:MAX_PICKED],
        job=one("job", _ID.fullmatch, "an id"),
        clone=one("clone", _ID.fullmatch, "an id"),
        launch=address.get("launch", "") == "1",
    )
    return query, tuple(wrong)


def _parts(address: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in address.get(name, "").split(",") if part.strip()]

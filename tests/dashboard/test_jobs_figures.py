"""The list of jobs, computed without a page."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dashboard.figures.cover_words import cover_words, optimizer_words
from dashboard.figures.job_story import life, settings, stored
from dashboard.figures.jobs_groups import NO_VALUE, grouped, settings_of, value_of
from dashboard.figures.jobs_list import actions, message, ordered, table
from dashboard.figures.jobs_query import SORTS, STATES, JobsQuery, read
from server.lifecycle import MOVES
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import CheckpointView, JobState, JobView, Transition

MINUTE = "2026-01-01T00:0{}:00Z"


def job(end: str, state: JobState = JobState.SUCCEEDED, *, loss: float | None = None, **spec: Any) -> JobView:
    labels = spec.get("labels", {})
    return JobView.model_validate({
        "id": f"0197a1b2-0000-7000-8000-00000000{end}",
        "state": state,
        "attempt": 0,
        "created_at": MINUTE.format(0),
        "started_at": None if state is JobState.QUEUED else MINUTE.format(1),
        "spec": JobSpec.model_validate({"recipe": {"name": "language-model"}, **spec}),
        "labels": labels,
        "progress": {"step": 5, "steps": 10, "loss": loss, "val_loss": loss},
    })


def sm3(lr: float = 0.1, **cover: Any) -> dict[str, Any]:
    return {"name": "sm3", "lr": lr, "cover": cover or {"kind": "slices"}}


JOBS = [
    job("0005", JobState.QUEUED, optimizer=sm3(1.0), labels={"who": "ada"}),
    job("0004", JobState.RUNNING, loss=3.0, optimizer=sm3(0.5, kind="blocks", tile=8)),
    job("0003", loss=math.nan, optimizer=sm3(0.5), labels={"who": "bob"}),
    job("0002", JobState.CRASHED, loss=2.0, optimizer={"name": "adamw"}),
    job("0001", loss=4.0, optimizer=sm3(10.0)),
]


def ends(jobs: Any) -> list[str]:
    return [job.id[-1] for job in jobs]


def test_every_state_is_offered_once() -> None:
    assert sorted(state for states in STATES.values() for state in states) == sorted(JobState)


@pytest.mark.parametrize("state", JobState)
def test_what_is_offered_for_a_state_is_what_its_life_allows(state: JobState) -> None:
    """The table of moves is the service's; what was asked for already is not offered again."""
    offered = actions(state)
    assert ("delete" in offered) is state.is_final
    assert ("resume" in offered) is (state is JobState.PAUSED)
    for action, asked, reached in (
        ("cancel", JobState.CANCELLING, JobState.CANCELLED),
        ("pause", JobState.PAUSING, JobState.PAUSED),
    ):
        assert (action in offered) is (bool(MOVES[state] & {asked, reached}) and state is not asked)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [("", "54321"), ("loss", "24153"), ("-loss", "14253"), ("state", "54312"), ("started", "43215")],
)
def test_rows_are_ordered_with_what_has_no_value_last(sort: str, expected: str) -> None:
    assert "".join(ends(ordered(JOBS, sort))) == expected


@pytest.mark.parametrize("sort", [sign + name for name in SORTS for sign in ("", "-")])
def test_every_order_keeps_every_job(sort: str) -> None:
    assert sorted(ends(ordered(JOBS, sort))) == list("12345")


def test_groups_count_their_jobs_and_name_the_best() -> None:
    groups = grouped(JOBS, "lr")
    assert [group.value for group in groups] == ["0.001", "0.5", "1", "10"]  # by size, not by letters
    half = groups[1]
    assert ends(half.jobs) == ["4", "3"]
    assert half.states == {"running": 1, "succeeded": 1}
    assert half.best is JOBS[1]  # NaN is no best
    assert half.best_val == 3.0
    assert groups[2].best is None
    assert [group.value for group in grouped(JOBS, "lr", by_loss=True)] == ["0.001", "0.5", "10", "1"]


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("recipe", ["language-model tiny"] * 5),
        ("optimizer", ["sm3", "sm3", "sm3", "adamw", "sm3"]),
        ("cover", ["slices", "blocks 8", "slices", NO_VALUE, "slices"]),
        ("label:who", ["ada", NO_VALUE, "bob", NO_VALUE, NO_VALUE]),
        ("optimizer.beta1", [NO_VALUE, NO_VALUE, NO_VALUE, "0.9", NO_VALUE]),
        ("record.every", ["10"] * 5),
        ("no.such.setting", [NO_VALUE] * 5),
    ],
)
def test_jobs_are_grouped_by_any_setting(setting: str, values: list[str]) -> None:
    assert [value_of(job, setting) for job in JOBS] == values
    assert sum(len(group.jobs) for group in grouped(JOBS, setting)) == 5


def test_settings_to_group_by_are_those_in_which_jobs_differ() -> None:
    found = settings_of(JOBS)
    assert "label:who" in found
    assert "optimizer.momentum" in found  # AdamW has none
    assert "steps" not in found
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("query", "has_more", "says"),
    [
        ({}, False, "1 queued, 1 running, 2 done, 1 failed."),
        ({}, True, "1 queued, 1 running, 2 done, 1 failed among the newest 5."),
        ({"q": "x"}, False, "1 queued, 1 running, 2 done, 1 failed: all that match."),
        ({"after": JOBS[0].id, "q": "x"}, False, "… among the 5 older jobs that match."),
    ],
)
def test_the_message_counts_and_says_of_what(query: dict[str, str], has_more: bool, says: str) -> None:
    told = message(JOBS, read(query)[0], has_more=has_more)
    assert told.endswith(says.removeprefix("… "))


def test_an_empty_list_says_why() -> None:
    assert message((), JobsQuery(), has_more=False).startswith("No jobs yet. Launch one")
    assert message((), JobsQuery(q="x"), has_more=False) == "No job matches the filters."
    assert message((), JobsQuery(after="x"), has_more=False) == "No older jobs."


def test_rows_follow_their_groups() -> None:
    shown = table(JOBS, JobsQuery(group="optimizer", sort="loss"), older=None)
    assert [row["id"][-1] for row in shown["rows"]] == list("24153")
    assert [(group["value"], len(group["jobs"])) for group in shown["groups"]] == [("adamw", 1), ("sm3", 4)]
    assert shown["groups"][1]["states"]["running"] == 1


def test_an_address_is_read_and_what_means_nothing_is_told_and_left_out() -> None:
    query, wrong = read({
        "state": "failed,gone,running",
        "label": "who:ada,Bad Key",
        "sort": "-loss",
        "group": "optimizer.lr",
        "picked": f"{JOBS[0].id},{JOBS[0].id},x",
        "recipe": "poetry",
        "after": "../etc",
        "job": JOBS[1].id,
        "other": "ignored",
    })
    assert query.states == (*STATES["failed"], *STATES["running"])
    assert (query.label, query.sort, query.group) == (("who:ada",), "-loss", "optimizer.lr")
    assert (query.picked, query.recipe, query.after) == ((JOBS[0].id,), "", "")
    assert query.panel == ("job", JOBS[1].id)
    assert [fault.given for fault in wrong] == ["gone", "poetry", "Bad Key", "../etc", "x"]
    assert str(wrong[0]).startswith("The address asks for state 'gone'; there is queued, running")


@pytest.mark.parametrize(
    ("cover", "words"),
    [
        ({"kind": "whole"}, "whole"),
        ({"kind": "slices", "dims": [0, -1]}, "slices 0,-1"),
        ({"kind": "reshaped", "view": "square", "inner": {"kind": "blocks", "tile": 4}}, "reshaped blocks 4"),
        ({"kind": "advise", "budget_bytes": 4096}, "advised ≤ 4,096 B"),
    ],
)
def test_covers_are_named(cover: dict[str, Any], words: str) -> None:
    optimizer = job("0001", optimizer=sm3(0.25, **cover)).spec.optimizer
    assert cover_words(optimizer.cover) == words  # type: ignore[union-attr]
    assert optimizer_words(optimizer) == f"sm3 {words}, lr 0.25"


def test_a_life_is_told_with_its_causes_and_its_warning() -> None:
    moves = [
        Transition(number=0, state=JobState.QUEUED, at=MINUTE.format(0), attempt=0, cause="made"),
        Transition(number=1, state=JobState.RUNNING, at=MINUTE.format(2), attempt=1, cause=""),
    ]
    told = life(JOBS[1].model_copy(update={"warning": "the disk is full"}), moves)
    assert told[0] == "01 Jan 00:00:00 · +0:00 · queued: made"
    assert told[1] == "01 Jan 00:02:00 · +2:00 · running, attempt 1"
    assert "Goes on in spite of: the disk is full" in told


def test_checkpoints_and_settings_are_told() -> None:
    assert stored(())[0].startswith("None so far")
    point = CheckpointView(step=1500, at=MINUTE.format(0), size_bytes=3 * 2**20, model_bytes=2**20)
    assert stored([point]) == ("step 1,500 · 01 Jan 00:00:00 · 3.0 MiB, of these 1.0 MiB weights",)
    assert '"tile": 8' in settings(JOBS[1])

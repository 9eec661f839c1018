"""The address of a lesson: ``/learn?lesson=3&step=2&guess=slices&stop=rows&teacher=1``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dashboard.lessons.registry import LESSONS
from dashboard.lessons.scene import Case, Lesson, Unknown

OWN = ("lesson", "step", "guess", "teacher")
MAX_TEXT = 400


@dataclass(frozen=True)
class Asked:
    """What an address asks for: a lesson, its case, and whether a teacher shows it."""

    number: int
    lesson: Lesson
    case: Case
    is_teacher: bool


def read(query: Mapping[str, str]) -> Asked:
    """Returns what ``query`` asks for; what it does not say is at its default.

    Raises:
        Unknown: it names a lesson or a step that there is not.
    """
    number = _number(query.get("lesson", "1"), "lesson", len(LESSONS))
    lesson = LESSONS[number - 1]
    step = _number(query.get("step", "1"), "step", len(lesson.steps))
    inputs = {name: query.get(name, default)[:MAX_TEXT] for name, default in lesson.defaults.items()}
    return Asked(
        number,
        lesson,
        Case(step, lesson.reveal, query.get("guess", "")[:MAX_TEXT], inputs),
        query.get("teacher", "") == "1",
    )


def changed(query: Mapping[str, str], change: Mapping[str, str]) -> dict[str, str]:
    """Returns the query after ``change``, in which '' takes a name away; another lesson starts afresh."""
    kept = dict(query)
    if "lesson" in change and change["lesson"] != query.get("lesson", "1"):
        kept = {name: value for name, value in query.items() if name == "teacher"}
    asked = read({"lesson": change.get("lesson", query.get("lesson", "1"))})
    known = {*OWN, *asked.lesson.defaults}
    for name, value in change.items():
        if name not in known:
            continue
        if value:
            kept[name] = value
        else:
            kept.pop(name, None)
    return kept


def _number(given: str, name: str, most: int) -> int:
    if not (given.isascii() and given.isdecimal() and len(given) < 4 and 1 <= int(given) <= most):
        raise Unknown(f"{name}={given[:40]} is not known here. It is a whole number from 1 to {most}.")
    return int(given)

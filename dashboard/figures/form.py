"""What the launch form says: from the values of its fields to a job, or to what is wrong at which field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from dashboard.figures.form_fields import BLANK, NONE, Field, Kind, fields
from dashboard.figures.form_labels import TAGS
from dashboard.figures.form_text import read_json, read_pairs
from dashboard.figures.paths import Json
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import FieldFault

__all__ = [
    "BLANK",
    "MAIN",
    "NONE",
    "Field",
    "Kind",
    "Reading",
    "change",
    "faults_at",
    "fields",
    "read",
    "rows",
    "sections",
]

MAIN = (
    "recipe.name",
    "recipe.size",
    "recipe.corpus",
    "recipe.dataset",
    "recipe.model",
    "optimizer.name",
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.cover.kind",
    "steps",
)
"""The fields that are always in sight, in this order; a recipe has those of them that are its own."""

_RUN = "run"

Faults = Mapping[str, tuple[str, ...]]
"""What is wrong, by the path of the field; '' has what belongs to no single one."""


@dataclass(frozen=True)
class Reading:
    """The job that the form describes, or else what is wrong with it."""

    spec: JobSpec | None
    faults: Faults


def sections(form: Sequence[Field]) -> dict[str, tuple[Field, ...]]:
    """Returns the fields by heading: ``main``, the parts of a job, and ``run`` for what stands alone."""
    found = {field.path: field for field in form}
    parts: dict[str, tuple[Field, ...]] = {"main": tuple(found[path] for path in MAIN if path in found)}
    rest = sorted((field for field in form if field.path not in MAIN), key=_rank)
    for name, members in groupby(rest, _section):
        parts[name] = tuple(members)
    return parts


def rows(part: Sequence[Field]) -> Iterator[tuple[Field, ...]]:
    """Yields the fields that stand side by side: two, or one whose many values half a row would cut."""
    for is_wide, together in groupby(part, key=lambda field: field.kind is Kind.MANY):
        found = tuple(together)
        size = 1 if is_wide else 2
        yield from (found[start : start + size] for start in range(0, len(found), size))


def _section(field: Field) -> str:
    head, dot, _ = field.path.partition(".")
    return head if dot or field.kind is Kind.COUNT else _RUN


def _rank(field: Field) -> int:
    order = ("recipe", "optimizer", "schedule", "averaging", "record", _RUN)
    section = _section(field)
    return order.index(section) if section in order else len(order)


def read(form: Sequence[Field], values: Mapping[str, Json]) -> Reading:
    """Returns what the form's ``values`` mean; a field that is not among them is left at the job's own default."""
    wrong: dict[str, list[str]] = {}
    tree: dict[str, Any] = {}
    for field in form:
        try:
            given = _given(field, values.get(field.path))
        except ValueError as error:
            wrong.setdefault(field.path, []).append(str(error))
            continue
        if given is not None:
            _put(tree, field.path.split("."), given)
    spec = None
    try:
        spec = JobSpec.model_validate(tree)
    except ValidationError as error:
        found = [(fault["loc"], _in_words(fault)) for fault in error.errors()]
        for path, words in _by_field(found, [field.path for field in form], known=wrong).items():
            wrong.setdefault(path, []).extend(words)
    faults = {path: tuple(dict.fromkeys(words)) for path, words in wrong.items()}
    return Reading(None if faults else spec, faults)


def faults_at(form: Sequence[Field], found: Iterable[FieldFault]) -> Faults:
    """Returns what the service found, each at the field of the form that it is about."""
    told = [(fault.field.split("."), f"allowed: {fault.allowed} (given: {fault.given!r})") for fault in found]
    by_field = _by_field(told, [field.path for field in form], known={})
    return {path: tuple(words) for path, words in by_field.items()}


def change(original: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the JSON merge patch that makes ``wanted`` of ``original``; both are whole specs in JSON.

    >>> change({"steps": 5, "optimizer": {"name": "sm3", "lr": 2}}, {"steps": 5, "optimizer": {"name": "sm3", "lr": 1}})
    {'optimizer': {'lr': 1}}
    """
    patch: dict[str, Any] = dict.fromkeys(key for key in original if key not in wanted)
    for key, value in wanted.items():
        before = original.get(key)
        if before == value:
            continue
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            is_other = any(before.get(tag) != value.get(tag) for tag in TAGS)
            patch[key] = value if is_other else change(before, value)
        else:
            patch[key] = value
    return patch


def _given(field: Field, value: Any) -> Json:
    """Returns what the widget's ``value`` puts into the job, None for nothing."""
    if value is None or (field.kind is Kind.CHOICE and value == NONE and NONE in field.options):
        return None
    if field.kind is Kind.COUNT:
        return []
    if field.kind is Kind.MANY:
        return {name: {} for name in value} if field.is_variant else list(value)
    if field.kind in {Kind.TEXT, Kind.VALUES, Kind.PAIRS, Kind.JSON}:
        if not value.strip():
            return None
        readers = {Kind.PAIRS: read_pairs, Kind.JSON: read_json}
        if field.kind in readers:
            return readers[field.kind](value)
        return field.values.read(value) if field.values else value
    return value


def _put(tree: dict[str, Any], path: Sequence[str], value: Json) -> None:
    """Sets ``value`` at ``path``; numbers in it are places in a list that a count has made."""
    here: Any = tree
    for part in path[:-1]:
        if isinstance(here, list):
            place = int(part)
            here.extend({} for _ in range(place + 1 - len(here)))
            here = here[place]
        else:
            here = here.setdefault(part, {})
    here[path[-1]] = value


def _in_words(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "missing":
        return "is needed"
    words = str(fault["msg"]).removeprefix("Value error, ")
    is_short = isinstance(fault["input"], str | int | float)
    return f"{words} (given: {fault['input']!r})" if is_short else words


def _by_field(
    found: Iterable[tuple[Sequence[object], str]], paths: Sequence[str], known: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Returns the words by the field that their location names, less those of fields whose fault is ``known``."""
    told: dict[str, list[str]] = {}
    for location, words in found:
        parts = [str(part) for part in location]
        path = max((path for path in paths if _is_within(path.split("."), parts)), key=len, default="")
        if path in known and path:
            continue
        told.setdefault(path, []).append(words if path else _placed(parts, words))
    return told


def _placed(parts: Sequence[str], words: str) -> str:
    return f"{'.'.join(parts)}: {words}" if parts else words


def _is_within(path: Sequence[str], location: Sequence[str]) -> bool:
    """Whether ``path`` is ``location`` less the tags that name a union's members, or less what is inside the field."""
    rest = iter(location)
    return all(part in rest for part in path)

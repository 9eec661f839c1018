"""The launch form, computed from the schema of :class:`sm3.remote.job_specs.JobSpec`.

A new field of a job appears in the form by being in its schema; only what has no simple widget (lists of rules,
labels, nested covers) is left to curl, Python and the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import ValidationError

from dashboard.figures.demo import DEMO
from dashboard.figures.paths import Json, flatten, nest
from sm3.remote.job_specs import JobSpec

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

NONE = "none"
"""The choice of an optional variant that leaves it out."""

_LARGEST_INT = 2**53 - 1  # JavaScript counts no further


class Kind(StrEnum):
    """What a field takes."""

    CHOICE = "choice"
    MANY = "many"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"


@dataclass(frozen=True)
class Field:
    """One input of the form.

    Attributes:
        path: the field's dotted path, also its label and its name in ``--set``.
        kind: what it takes.
        default: its value when untouched; None for an optional field.
        options: what can be chosen, for a choice.
        low: smallest number, or None.
        high: largest number, or None.
        description: what it means.
        is_variant: whether other fields depend on this choice.
    """

    path: str
    kind: Kind
    default: Any
    options: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    description: str = ""
    is_variant: bool = False


def fields(chosen: Mapping[str, str]) -> tuple[Field, ...]:
    """Returns the form's fields; ``chosen`` maps the path of a variant to the choice made."""
    found = {field.path: field for field in _walk(_schema(), "", chosen)}
    order = [path for path in MAIN if path in found]
    return tuple(found[path] for path in [*order, *(path for path in found if path not in MAIN)])


def spec_of(values: Mapping[str, Json]) -> JobSpec:
    """Returns the job that the form's values describe.

    Raises:
        ValidationError: a value is out of bounds; :func:`faults` puts it in words.
    """
    given = {path: value for path, value in values.items() if value is not None and value != NONE}
    return JobSpec.model_validate(nest(given))


def faults(error: ValidationError) -> tuple[str, ...]:
    """Returns what is wrong with a job, one sentence a field."""
    return tuple(
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']} (given: {fault['input']!r})"
        for fault in error.errors()
    )


@cache
def _schema() -> dict[str, Any]:
    return JobSpec.model_json_schema()


@cache
def _defaults() -> dict[str, Any]:
    """Returns a job with everything at its default, by path; schemas leave out what a factory makes."""
    return flatten(DEMO.model_dump(mode="json"))


def _walk(node: Mapping[str, Any], path: str, chosen: Mapping[str, str]) -> Iterator[Field]:
    """Yields the fields below ``node``, in the schema's order."""
    node = _resolve(node)
    if "discriminator" in node:
        yield from _variants(node, path, chosen)
    elif "properties" in node:
        for name, inner in node["properties"].items():
            yield from _walk(inner, f"{path}.{name}" if path else name, chosen)
    elif (field := _leaf(node, path)) is not None:
        yield field


def _variants(node: Mapping[str, Any], path: str, chosen: Mapping[str, str]) -> Iterator[Field]:
    key = node["discriminator"]["propertyName"]
    variants = {
        name: _resolve({"$ref": ref})
        for name, ref in node["discriminator"]["mapping"].items()
        if not (set(_resolve({"$ref": ref}).get("required", ())) - {key})
    }
    where = f"{path}.{key}"
    none = (NONE,) if node.get("optional") else ()
    default = _defaults().get(where, next(iter((*none, *variants))))
    description = node.get("description", "")
    yield Field(
        where, Kind.CHOICE, default, options=(*none, *variants), is_variant=True, description=description
    )
    choice = chosen.get(where, default)
    if choice == NONE:
        return
    variant = variants.get(choice) or variants[default]
    for name, inner in variant["properties"].items():
        if name != key:
            yield from _walk(inner, f"{path}.{name}", chosen)


def _resolve(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``node`` with its reference followed and an optional type taken for what it is when given."""
    more = {key: value for key, value in node.items() if key not in {"$ref", "anyOf"}}
    if "$ref" in node:
        return _resolve(_schema()["$defs"][node["$ref"].rpartition("/")[2]]) | more
    if "anyOf" in node:
        given = [option for option in node["anyOf"] if option.get("type") != "null"]
        if len(given) == 1 and len(node["anyOf"]) == 2:
            return _resolve(given[0]) | more | {"optional": True}
    return dict(node)


def _leaf(node: Mapping[str, Any], path: str) -> Field | None:
    default = node.get("default")
    description = node.get("description", "") if "enum" not in node else ""
    if "enum" in node:
        return Field(path, Kind.CHOICE, default, options=tuple(node["enum"]))
    kind = node.get("type")
    if kind in {"integer", "number"}:
        return Field(
            path,
            Kind.INT if kind == "integer" else Kind.FLOAT,
            default,
            low=_bound(node, "minimum", "exclusiveMinimum"),
            high=_bound(node, "maximum", "exclusiveMaximum"),
            description=description,
        )
    if kind == "boolean":
        return Field(path, Kind.BOOL, default, description=description)
    if kind == "array" and "enum" in (items := _resolve(node.get("items", {}))):
        return Field(path, Kind.MANY, default, options=tuple(items["enum"]), description=description)
    return None


def _bound(node: Mapping[str, Any], inclusive: str, exclusive: str) -> float | None:
    """Returns a bound for a widget: an excluded end is let through here and refused by the job's own check."""
    bound = node.get(inclusive, node.get(exclusive))
    return None if bound is None else max(-_LARGEST_INT, min(_LARGEST_INT, bound))

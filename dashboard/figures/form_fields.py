"""The fields of the launch form, computed from the schema of :class:`sm3.remote.job_specs.JobSpec`.

A new field of a job appears in the form by being in its schema, however deep: unions offer their variants, lists of
objects ask how many there are, and what has no widget of its own is typed as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from dashboard.figures.form_text import Values, write_json, write_pairs
from dashboard.figures.paths import Json
from sm3.remote.job_specs import JobSpec
from sm3.remote.recipe_specs import LanguageModelSpec

BLANK = JobSpec(recipe=LanguageModelSpec(name="language-model"))
"""What the form describes when nobody has touched it: a job with everything at its default."""

NONE = "none"
"""The choice of an optional variant that leaves it out."""

_LARGEST_INT = 2**53 - 1  # JavaScript counts no further
_ABSENT = object()
_SCALARS = {"integer", "number", "string"}


class Kind(StrEnum):
    """What a field takes. The last four are typed as text; ``default`` is that text then."""

    CHOICE = "choice"
    MANY = "many"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    COUNT = "count"
    TEXT = "text"
    VALUES = "values"
    PAIRS = "pairs"
    JSON = "json"


@dataclass(frozen=True)
class Field:
    """One input of the form.

    Attributes:
        path: the field's dotted path, also its name in ``--set``.
        kind: what it takes.
        default: its value when untouched; None for an optional field, '' for one typed as text.
        options: what can be chosen, for a choice.
        low: smallest number, or None.
        high: largest number, or None.
        description: what it means.
        is_variant: whether other fields depend on this choice.
        values: how several values are written, for `Kind.VALUES`.
    """

    path: str
    kind: Kind
    default: Any
    options: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    description: str = ""
    is_variant: bool = False
    values: Values | None = None


def fields(chosen: Mapping[str, Json], start: JobSpec = BLANK) -> tuple[Field, ...]:
    """Returns the form's fields in the schema's order.

    Args:
        chosen: the choices made so far, by the path of a field on which others depend.
        start: the job that the untouched form describes.
    """
    return tuple(_walk(_schema(), "", chosen, start.model_dump(mode="json")))


@cache
def _schema() -> dict[str, Any]:
    return JobSpec.model_json_schema()


def _walk(node: Mapping[str, Any], path: str, chosen: Mapping[str, Json], start: object) -> Iterator[Field]:
    """Yields the fields below ``node``; ``start`` is their value in the job that the form starts from."""
    node = _resolve(node)
    if "discriminator" in node:
        yield from _variants(node, path, chosen, start)
    elif "properties" in node:
        for name, inner in node["properties"].items():
            yield from _walk(inner, f"{path}.{name}" if path else name, chosen, _inside(start, name))
    elif node.get("type") == "array" and _is_object(items := _resolve(node["items"])):
        yield from _list(node, items, path, chosen, start)
    elif "propertyNames" in node and _is_object(_resolve(node["additionalProperties"])):
        yield from _named(node, path, chosen, start)
    else:
        yield _leaf(node, path, start)


def _variants(
    node: Mapping[str, Any], path: str, chosen: Mapping[str, Json], start: object
) -> Iterator[Field]:
    key = node["discriminator"]["propertyName"]
    variants = {name: _resolve({"$ref": ref}) for name, ref in node["discriminator"]["mapping"].items()}
    options = (*((NONE,) if node.get("optional") else ()), *_order(node, variants))
    given = _inside(start, key)
    default = given if given in options else options[0]
    where = f"{path}.{key}"
    yield Field(
        where,
        Kind.CHOICE,
        default,
        options=options,
        is_variant=True,
        description=node.get("description", ""),
    )
    choice = chosen.get(where, default)
    choice = choice if choice in options else default
    if choice == NONE:
        return
    for name, inner in variants[str(choice)]["properties"].items():
        if name != key:
            # What the form starts from says nothing about another variant's fields, even of the same name.
            inherited = _inside(start, name) if choice == given else _ABSENT
            yield from _walk(inner, f"{path}.{name}", chosen, inherited)


def _order(node: Mapping[str, Any], variants: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the variants' names in the order of the union; a schema's mapping is sorted by name."""
    names = {ref: name for name, ref in node["discriminator"]["mapping"].items()}
    listed = [names[option["$ref"]] for option in node.get("oneOf", ()) if option.get("$ref") in names]
    return (*listed, *(name for name in variants if name not in listed))


def _list(
    node: Mapping[str, Any],
    items: Mapping[str, Any],
    path: str,
    chosen: Mapping[str, Json],
    start: object,
) -> Iterator[Field]:
    """Yields how many objects the list has, and the fields of each below its number."""
    given = start if isinstance(start, Sequence) else ()
    low, high = node.get("minItems", 0), node.get("maxItems", 64)
    default = max(low, len(given))
    yield Field(
        path,
        Kind.COUNT,
        default,
        low=low,
        high=high,
        description=node.get("description", ""),
        is_variant=True,
    )
    wanted = chosen.get(path)
    for i in range(min(high, max(low, wanted)) if isinstance(wanted, int) else default):
        yield from _walk(items, f"{path}.{i}", chosen, given[i] if i < len(given) else _ABSENT)


def _named(node: Mapping[str, Any], path: str, chosen: Mapping[str, Json], start: object) -> Iterator[Field]:
    """Yields which of the known names the object has, and the fields of each below its name."""
    names = tuple(_resolve(node["propertyNames"])["enum"])
    given = list(start) if isinstance(start, Mapping) else []
    description = node.get("description", "")
    yield Field(path, Kind.MANY, given, options=names, description=description, is_variant=True)
    wanted = chosen.get(path, given)
    for name in names:
        if isinstance(wanted, Sequence) and name in wanted:
            yield from _walk(node["additionalProperties"], f"{path}.{name}", chosen, _inside(start, name))


def _leaf(node: Mapping[str, Any], path: str, start: object) -> Field:
    description = node.get("description", "")
    default = node.get("default") if start is _ABSENT else start
    kind = node.get("type")
    if "enum" in node:
        return Field(path, Kind.CHOICE, default, options=tuple(node["enum"]), description=description)
    if kind == "boolean":
        return Field(path, Kind.BOOL, default, description=description)
    if kind in {"integer", "number"} and not (isinstance(default, int) and default > _LARGEST_INT):
        return Field(
            path,
            Kind.INT if kind == "integer" else Kind.FLOAT,
            default,
            low=_bound(node, "minimum", "exclusiveMinimum"),
            high=_bound(node, "maximum", "exclusiveMaximum"),
            description=description,
        )
    if kind == "array" and "enum" in (items := _resolve(node["items"])):
        return Field(path, Kind.MANY, default or [], options=tuple(items["enum"]), description=description)
    if default is None and "examples" in node:
        default = node["examples"][0]
    if kind == "string":
        return Field(path, Kind.TEXT, default or "", description=description)
    if (values := _values(node)) is not None:
        text = "" if default is None else values.write(default)
        return Field(path, Kind.VALUES, text, description=description, values=values)
    if kind == "object" and ("additionalProperties" in node or "patternProperties" in node):
        text = write_pairs(default) if isinstance(default, Mapping) else ""
        description = description or "one `key: value` a line"
        return Field(path, Kind.PAIRS, text, description=description)
    return Field(path, Kind.JSON, "" if default is None else write_json(default), description=description)


def _values(node: Mapping[str, Any]) -> Values | None:
    """Returns how the node's values are typed, None where they are no list of scalars and no choice of them."""
    options = [_resolve(option) for option in node.get("anyOf", [node])]
    lists = [_resolve(option["items"]) for option in options if option.get("type") == "array"]
    ones = [option for option in options if option.get("type") in _SCALARS]
    known = len(lists) + len(ones) + sum(option.get("type") == "null" for option in options)
    if known < len(options) or any(item.get("type") not in _SCALARS for item in lists):
        return None
    are_text = all(item.get("type") == "string" for item in [*lists, *ones])
    return Values(as_one=bool(ones), as_list=bool(lists), are_text=are_text)


def _resolve(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``node`` with its reference followed and an optional type taken for what it is when given."""
    more = {key: value for key, value in node.items() if key not in {"$ref", "anyOf"}}
    if "$ref" in node:
        named = _resolve(_schema()["$defs"][node["$ref"].rpartition("/")[2]])
        if "enum" in named:
            named.pop("description", None)  # an enumeration's docstring tells nothing of this field
        return named | more
    if "anyOf" in node:
        given = [option for option in node["anyOf"] if option.get("type") != "null"]
        if len(given) == 1 and len(node["anyOf"]) == 2:
            return _resolve(given[0]) | more | {"optional": True}
    return dict(node)


def _is_object(node: Mapping[str, Any]) -> bool:
    return "properties" in node or "discriminator" in node


def _inside(start: object, name: str) -> Any:
    return start.get(name, _ABSENT) if isinstance(start, Mapping) else _ABSENT


def _bound(node: Mapping[str, Any], inclusive: str, exclusive: str) -> float | None:
    """Returns a bound for a widget: an excluded end is let through here and refused by the job's own check."""
    bound = node.get(inclusive, node.get(exclusive))
    return None if bound is None else max(-_LARGEST_INT, min(_LARGEST_INT, bound))

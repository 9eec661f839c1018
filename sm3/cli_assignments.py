"""``--set KEY=VALUE``: a nested JSON object from flat assignments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

AssignmentOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="a field of the job, such as optimizer.lr=0.2; repeatable"
    ),
]


def changes_from(assignments: Sequence[str] | None, start: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns ``start`` (default: nothing; it is written to) with ``key=value`` pairs set.

    Keys are dotted paths, values JSON or else plain text.

    Raises:
        typer.BadParameter: a pair has no ``=``, or two pairs contradict each other.
    """
    body = {} if start is None else start
    for assignment in assignments or ():
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"--set {assignment!r}: expected KEY=VALUE, such as --set steps=500")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        *path, last = key.split(".")
        place = body
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise typer.BadParameter(f"--set {assignment!r}: {part!r} has a value already")
        place[last] = value
    return body

"""Nested JSON objects as flat ``{"optimizer.lr": 0.1}``: how the form and ``--set`` name the fields of a job."""

from __future__ import annotations

from collections.abc import Mapping

Json = object
"""What JSON can hold: values that pydantic dumped in JSON mode."""


def flatten(value: Mapping[str, Json], prefix: str = "") -> dict[str, Json]:
    """Returns the leaves of ``value`` by dotted path; lists are leaves.

    >>> flatten({"steps": 5, "optimizer": {"lr": 0.1}})
    {'steps': 5, 'optimizer.lr': 0.1}
    """
    found: dict[str, Json] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            found |= flatten(inner, f"{prefix}{key}.")
        else:
            found[prefix + key] = inner
    return found


def nest(leaves: Mapping[str, Json]) -> dict[str, Json]:
    """Returns the nested object; the inverse of :func:`flatten`.

    >>> nest({"steps": 5, "optimizer.lr": 0.1})
    {'steps': 5, 'optimizer': {'lr': 0.1}}
    """
    found: dict[str, Json] = {}
    for path, leaf in leaves.items():
        *parents, last = path.split(".")
        inner = found
        for parent in parents:
            child = inner.setdefault(parent, {})
            assert isinstance(child, dict)
            inner = child
        inner[last] = leaf
    return found

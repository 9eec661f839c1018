"""Covers in a few words: what a person types and an address holds, such as ``blocks 64`` or ``slices + blocks 64``.

============================  =================================================
words                         cover
============================  =================================================
``slices``                    rows and columns: all dims
``rows``, ``columns``         slices along the first, or the last dim alone
``whole``, ``singletons``     one set a tensor; one an entry, which is AdaGrad
``blocks 64``, ``blocks 8x2`` tiles of one edge, or of one for each dim
``square``                    slices of the entries seen as near to a square as they go
``a + b``                     the sets of both
============================  =================================================
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sm3.remote.cover_specs import CoverRule, CoverSpec

COMMON = (
    "slices",
    "rows",
    "columns",
    "square",
    "blocks 64",
    "blocks 256",
    "slices + blocks 64",
    "whole",
    "singletons",
)
"""What a list offers; anything of the table above may be typed."""

KNOWN = "slices, rows, columns, whole, singletons, square, blocks 64, blocks 8x2, or several with + between"
_PLAIN: dict[str, dict[str, Any]] = {
    "slices": {"kind": "slices"},
    "rows": {"kind": "slices", "dims": [0]},
    "columns": {"kind": "slices", "dims": [-1]},
    "whole": {"kind": "whole"},
    "singletons": {"kind": "singletons"},
    "square": {"kind": "reshaped", "view": "square", "inner": {"kind": "slices"}},
}
_BLOCKS = re.compile(r"blocks\s+(\d{1,12}(?:\s*[x×]\s*\d{1,12})*)")
_COVER: TypeAdapter[CoverSpec] = TypeAdapter(CoverSpec)


def cover_of(words: str) -> CoverSpec:
    """Returns the cover that ``words`` name.

    Raises:
        ValueError: they name none; the message says what there is.

    >>> cover_of("blocks 8x2").tile
    (8, 2)
    """
    parts = [_one(part.strip().lower(), words) for part in words.split("+")]
    described = parts[0] if len(parts) == 1 else {"kind": "union", "members": parts}
    try:
        return _COVER.validate_python(described)
    except ValidationError as error:
        raise ValueError(f"“{words}” is no cover: {error.errors()[0]['msg']}. There are {KNOWN}.") from error


def rules_of(words: str) -> tuple[CoverRule, ...]:
    """Returns the rules in ``words``: ``glob = cover`` with semicolons between; the first glob that matches wins.

    Raises:
        ValueError: one of them is none.

    >>> rules_of("*embed* = rows; *norm* = whole")[1].match
    '*norm*'
    """
    rules = []
    for part in filter(None, map(str.strip, re.split(r"[;\n]", words))):
        match, equals, cover = part.rpartition("=")
        if not equals or not match.strip():
            raise ValueError(
                f"“{part}” is no rule: write a glob on names, =, and a cover, such as *embed* = rows."
            )
        try:
            rules.append(CoverRule(match=match.strip(), cover=cover_of(cover.strip())))
        except ValidationError as error:
            raise ValueError(f"“{part}” is no rule: {error.errors()[0]['msg']}.") from error
    return tuple(rules)


def _one(part: str, words: str) -> dict[str, Any]:
    if part in _PLAIN:
        return _PLAIN[part]
    if found := _BLOCKS.fullmatch(part):
        edges = [int(edge) for edge in re.split(r"\s*[x×]\s*", found[1])]
        return {"kind": "blocks", "tile": edges[0] if len(edges) == 1 else edges}
    raise ValueError(f"“{words}” is no cover. There are {KNOWN}.")

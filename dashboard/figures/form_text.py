"""Values of a job that are typed as text: lists, pairs of labels, JSON. How they are written, and read back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.figures.paths import Json

_NUMBER = re.compile(r"-?\d+")


@dataclass(frozen=True)
class Values:
    """One value or several, separated by commas.

    Attributes:
        as_one: whether a single value may stand alone instead of in a list.
        as_list: whether several may be given.
        are_text: whether digits stay text, as in a glob.
    """

    as_one: bool
    as_list: bool
    are_text: bool = False

    def write(self, value: Json) -> str:
        """Returns ``value`` as text.

        >>> Values(as_one=True, as_list=True).write([64, 32])
        '64, 32'
        """
        many = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        text = ", ".join(str(one) for one in many)
        return f"{text}," if self.as_one and many is value and len(many) == 1 else text

    def read(self, text: str) -> Json:
        """Returns what ``text`` stands for; '64' is one number where that may be, '64,' always a list.

        >>> Values(as_one=True, as_list=True).read("64"), Values(as_one=True, as_list=True).read("4, -1")
        (64, [4, -1])
        """
        parts = [part.strip() for part in text.split(",")]
        many = [self._one(part) for part in parts if part]
        is_list = self.as_list and (not self.as_one or len(parts) > 1)
        return many if is_list else many[0] if len(many) == 1 else text

    def _one(self, part: str) -> Json:
        return int(part) if not self.are_text and _NUMBER.fullmatch(part) else part


def write_pairs(value: Mapping[str, str]) -> str:
    """Returns labels as text, one ``key: value`` a line."""
    return "\n".join(f"{key}: {one}" for key, one in value.items())


def read_pairs(text: str) -> dict[str, Json]:
    """Returns the labels in ``text``.

    Raises:
        ValueError: a line is no pair, or names a key again.

    >>> read_pairs("course: demo")
    {'course': 'demo'}
    """
    found: dict[str, Json] = {}
    for line in filter(str.strip, text.splitlines()):
        key, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"given {line.strip()!r}; write one `key: value` a line")
        if key.strip() in found:
            raise ValueError(f"{key.strip()!r} is given twice; give each key once")
        found[key.strip()] = value.strip()
    return found


def write_json(value: Json) -> str:
    """Returns ``value`` as JSON in one line."""
    return json.dumps(value)


def read_json(text: str) -> Json:
    """Returns the value of the JSON ``text``.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        value: Json = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON at character {error.pos + 1}: {error.msg}") from None
    return value

"""What the launch form calls its fields: words for people, made from a field's path in the API."""

from __future__ import annotations

TAGS = ("name", "kind")
"""What tells the variants of a union apart; a field that chooses one is called by what it chooses."""

_WORDS = {
    "beta1": "β₁",
    "beta2": "β₂",
    "every": "every, steps",
    "lr": "learning rate",
}
_UNITS = {"_bytes": "bytes", "_s": "s"}


def heading(section: str) -> str:
    """Returns the heading of a part of the form.

    >>> heading("optimizer")
    'Optimizer'
    """
    return _sentence(section.replace("_", " "))


def label(path: str) -> str:
    """Returns what the field at ``path`` is called below the heading of its part.

    >>> label("optimizer.lr"), label("optimizer.cover.kind"), label("limits.memory_bytes")
    ('Learning rate', 'Cover', 'Memory, bytes')
    >>> label("optimizer.beta2")
    'β₂'
    >>> label("record.shadows.0.cover.tile")
    'Shadows 1 · cover · tile'
    """
    parts = path.split(".")
    if parts[-1] in TAGS and len(parts) > 1:
        parts.pop()
    if len(parts) > 1:
        parts = parts[1:]
    said: list[str] = []
    for part in parts:
        if part.isdigit() and said:
            said[-1] += f" {int(part) + 1}"
        else:
            said.append(_words(part))
    return _sentence(" · ".join(said))


def if_empty(description: str) -> str:
    """Returns what a field that is left empty, which the API calls null, means by its description.

    >>> if_empty("sequences in a step; null takes the size's own"), if_empty("null: sums; else moving averages")
    ("takes the size's own", 'sums')
    >>> if_empty("bytes that a worker may take")
    'none'
    """
    _, null, meaning = description.partition("null")
    return meaning.partition(";")[0].lstrip(": ") if null else "none"


def _words(part: str) -> str:
    if part in _WORDS:
        return _WORDS[part]
    for suffix, unit in _UNITS.items():
        if part.endswith(suffix):
            return f"{part.removesuffix(suffix).replace('_', ' ')}, {unit}"
    return part.replace("_", " ")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] if text[0].isascii() else text  # β stays small

"""What a lesson is, what it is asked and what it shows. Nothing here fetches or draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dashboard.figures.chart import Chart
from sm3.remote.client import Client


class Unknown(Exception):  # noqa: N818 - reads as what it is
    """The address holds a value that there is not; the message says what there is."""


@dataclass(frozen=True)
class Case:
    """What the address says of a lesson.

    Attributes:
        step: from 1.
        reveal: the step at which the answer is shown.
        guess: the key of the option chosen, '' for none.
        inputs: the lesson's own, its defaults where the address says nothing.
    """

    step: int
    reveal: int
    guess: str
    inputs: Mapping[str, str]

    @property
    def revealed(self) -> bool:
        """Whether the answer may be seen."""
        return self.step >= self.reveal

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Returns an input that is one of ``allowed``.

        Raises:
            Unknown: it is not.
        """
        given = self.inputs[name]
        if given not in allowed:
            raise Unknown(f"{name}={given[:40]} is not known here. There are: {', '.join(allowed)}.")
        return given

    def whole(self, name: str, low: int, high: int) -> int:
        """Returns an input that is a whole number of ``low`` to ``high``.

        Raises:
            Unknown: it is not.
        """
        given = self.inputs[name]
        if not (given.isascii() and given.isdecimal() and len(given) < 7 and low <= int(given) <= high):
            raise Unknown(
                f"{name}={given[:40]} is not known here. It is a whole number from {low} to {high}."
            )
        return int(given)

    def digits(self, name: str, count: int, alphabet: str = "0123456789") -> tuple[int, ...]:
        """Returns an input of ``count`` digits, such as the entries of a small matrix, as their values.

        Raises:
            Unknown: it is something else.
        """
        given = self.inputs[name]
        if len(given) != count or set(given) - set(alphabet):
            raise Unknown(f"{name}={given[:40]} is not known here. It is {count} characters of {alphabet}.")
        return tuple(map(alphabet.index, given))


@dataclass(frozen=True)
class Option:
    """One answer to choose. ``why`` is said when it was chosen: kindly, with the real number."""

    key: str
    label: str
    why: str
    is_right: bool = False


@dataclass(frozen=True)
class Question:
    """What is asked before the answer is shown."""

    text: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Control:
    """An input of the lesson that is one of a few; a ``slider``'s options are in order."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]
    value: str
    is_slider: bool = False


@dataclass(frozen=True)
class Outline:
    """A set drawn around its cells; ``decides`` is a solid line, others are dashed."""

    cells: tuple[int, ...]
    label: str
    decides: bool = False
    color: str = "accent"


@dataclass(frozen=True)
class Margin:
    """A number beside a row or a column: its set's accumulator."""

    text: str
    holds: bool = False
    decides: bool = False


@dataclass(frozen=True)
class Edit:
    """What pressing a cell changes.

    ``pick`` sets input ``name`` to the cell's number; ``digit`` and ``bit`` change one character of the input's text:
    to the next of ``alphabet``, or by the bit ``bit`` of its value.
    """

    kind: str
    name: str
    text: str = ""
    alphabet: str = "0123456789"
    bit: int = 1
    hint: str = ""


@dataclass(frozen=True)
class Grid:
    """A small matrix with its numbers in the cells.

    Attributes:
        name: tells grids of a scene apart.
        title: what it shows, with the unit.
        shape: rows and columns.
        texts: of the cells, row by row; '?' is one still hidden.
        shades: 0 to 1 each, or None for none: the number again as a tint.
        selected: the cell that is spoken of, or None.
        outlines: sets around cells.
        rows: accumulators beside the rows, or none.
        columns: accumulators above the columns, or none.
        chips: accumulators of sets that are no rows or columns.
        edit: what pressing a cell does.
        marks: glyphs in corners of cells.
        note: below it.
    """

    name: str
    title: str
    shape: tuple[int, int]
    texts: tuple[str, ...]
    shades: tuple[float | None, ...] = ()
    selected: int | None = None
    outlines: tuple[Outline, ...] = ()
    rows: tuple[Margin, ...] = ()
    columns: tuple[Margin, ...] = ()
    chips: tuple[tuple[str, Margin], ...] = ()
    edit: Edit | None = None
    marks: Mapping[int, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Source:
    """Where something that is quoted stands."""

    text: str
    where: str


@dataclass(frozen=True)
class Scene:
    """Everything that is shown of a case.

    Attributes:
        headline: the one message, with the case's numbers.
        text: what to look at, in a sentence or two.
        question: the lesson's question; with the reveal its answer is judged.
        controls: what can be changed at this step.
        grids: small matrices, left to right.
        charts: other pictures, below or beside.
        source: what is quoted, or None.
        offer: label of a button that makes the lesson's data, '' for none.
        waits: whether the facts are still to come, so that the page looks again by itself.
    """

    headline: str
    text: str
    question: Question | None = None
    controls: tuple[Control, ...] = ()
    grids: tuple[Grid, ...] = ()
    charts: tuple[Chart, ...] = ()
    source: Source | None = None
    offer: str = ""
    waits: bool = False


@dataclass(frozen=True)
class Lesson:
    """One idea.

    Attributes:
        slug: of files and anchors.
        title: in the list of lessons.
        idea: what remains when all else is forgotten.
        steps: their names; at the first the guess is asked.
        reveal: the number of the step that answers.
        defaults: the inputs, as the address has them.
        fetch: asks the service for a case's facts.
        tell: turns them into a scene; pure.
    """

    slug: str
    title: str
    idea: str
    steps: tuple[str, ...]
    reveal: int
    defaults: Mapping[str, str]
    fetch: Callable[[Client, Case], Any]
    tell: Callable[[Case, Any], Scene]


def verdict(question: Question, guess: str) -> tuple[str, str]:
    """Returns the kind ('right', 'other' or 'none') and the words for a guess."""
    right = next(option for option in question.options if option.is_right)
    chosen = next((option for option in question.options if option.key == guess), None)
    if chosen is None:
        return "none", f"It is “{right.label}”. {right.why}"
    if chosen.is_right:
        return "right", f"Yes, {chosen.label}. {chosen.why}"
    more = "" if chosen.why == right.why else f" {right.why}"
    return "other", f"Not quite: you said {chosen.label}. It is {right.label}. {chosen.why}{more}"

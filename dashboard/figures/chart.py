"""What a chart is before anything is drawn: traces, the same numbers as a table, and words for who cannot see it.

Colours are tokens that the browser fills in for its theme: ``@accent``, ``@second``, ``@text``, ``@muted``, ``@paper``,
``@line``, ``@grid``, and ``@c1`` … ``@c7`` for series; ``@accent/0.2`` is see-through. So a change of theme needs no
rerun, and no chart has a colour of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "integer", "number", "signed", "bytes", "percent"]
Cell = str | int | float | None


@dataclass(frozen=True)
class Column:
    """A column of a table. ``percent`` shows a share of 0 to 1, ``signed`` a difference.

    ``unit`` is said in the heading and in the CSV.
    """

    name: str
    kind: Kind = "text"
    unit: str = ""


@dataclass(frozen=True)
class Table:
    """The numbers of a chart, as they are; ``None`` is an empty cell.

    Attributes:
        columns: of each row.
        rows: as many cells each as there are columns.
        ids: what a press on a row's first cell asks for, a row each; none: rows cannot be pressed.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    ids: tuple[str, ...] | None = None

    def payload(self) -> dict[str, object]:
        """Returns the JSON that the component gets."""
        return {
            "columns": [{"name": c.name, "kind": c.kind, "unit": c.unit} for c in self.columns],
            "rows": [[_finite(cell) for cell in row] for row in self.rows],
            "ids": list(self.ids) if self.ids is not None else None,
        }


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a line with a ``dash``, a ``glyph`` such as ●, a box, or the hatch of what has no value."""

    text: str
    color: str = "@muted"
    dash: Literal["solid", "dash", "dot", "dashdot"] = "solid"
    glyph: str = ""
    hatch: bool = False
    box: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart in a card, or with ``data`` None a table in one.

    Attributes:
        name: of the files it can be saved as; tells charts of a page apart.
        title: what is shown, with the unit.
        alt: the one sentence that somebody who cannot see the picture should hear.
        table: the same numbers.
        data: Plotly traces. A point's ``customdata`` (or its first part) is what a click on it asks for.
        layout: Plotly layout; what it leaves out is filled in alike for all charts.
        keys: the legend.
        about: what stands beside the title, in grey.
        note: a line below: how to read it, or where the numbers come from.
        height_px: of the card.
        revision: zoom is kept while this stays the same.
        empty: why there is nothing to draw; '' when there is.
    """

    name: str
    title: str
    alt: str
    table: Table
    data: Sequence[dict[str, Any]] | None = None
    layout: dict[str, Any] | None = None
    keys: tuple[Key, ...] = ()
    about: str = ""
    note: str = ""
    height_px: int = 320
    revision: str = ""
    empty: str = ""

    def payload(self) -> dict[str, object]:
        """Returns the JSON that the component gets."""
        return {
            "name": self.name,
            "title": self.title,
            "alt": self.alt,
            "table": self.table.payload(),
            "figure": None if self.data is None else {"data": list(self.data), "layout": self.layout or {}},
            "keys": [vars(key) for key in self.keys],
            "about": self.about,
            "note": self.note,
            "height": self.height_px,
            "revision": self.revision or self.name,
            "empty": self.empty,
        }


def _finite(cell: Cell) -> Cell:
    """JSON has no NaN: a number that is none is told in words."""
    if isinstance(cell, float) and cell != cell:
        return "NaN"
    if cell in {float("inf"), float("-inf")}:
        return "∞" if cell == float("inf") else "−∞"
    return cell

"""A cover's sets, as grids show them: outlines, and accumulators beside rows, above columns, or as chips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from dashboard.lessons.numbers import short
from dashboard.lessons.scene import Margin, Outline
from sm3.remote.simulation_views import CoverSimulation


@dataclass(frozen=True)
class Sides:
    """Accumulators where they belong."""

    rows: tuple[Margin, ...] = ()
    columns: tuple[Margin, ...] = ()
    chips: tuple[tuple[str, Margin], ...] = ()


def set_name(found: CoverSimulation, number: int, columns: int, names: Sequence[str] = ()) -> str:
    """Returns what a set is called: its name where it has one, else row 2, column 3, this entry, all, or a letter."""
    if names:
        return names[number]
    return _kind(found, number, columns) or f"set {_letter(found, number, columns)}"


def _letter(found: CoverSimulation, number: int, columns: int) -> str:
    """A, B, C … among the sets that have no better name."""
    before = sum(not _kind(found, other, columns) for other in range(number))
    return ascii_uppercase[before % 26]


def _kind(found: CoverSimulation, number: int, columns: int) -> str:
    members = found.sets[number]
    rows_of = {flat // columns for flat in members}
    columns_of = {flat % columns for flat in members}
    total = len(found.contributing)
    if len(members) == total:
        return "all of it"
    if len(members) == 1:
        return "the entry itself"
    if len(rows_of) == 1 and len(members) == columns:
        return f"row {min(rows_of) + 1}"
    if len(columns_of) == 1 and len(members) == total // columns:
        return f"column {min(columns_of) + 1}"
    return ""


def outlines(
    found: CoverSimulation, cell: int, columns: int, decides: tuple[int, ...], names: Sequence[str] = ()
) -> tuple[Outline, ...]:
    """Returns the sets that hold ``cell``, those that decide drawn solid."""
    return tuple(
        Outline(found.sets[number], set_name(found, number, columns, names), number in decides)
        for number in found.contributing[cell]
    )


def sides(
    found: CoverSimulation,
    mu: tuple[float, ...],
    shape: tuple[int, int],
    cell: int,
    decides: tuple[int, ...],
    names: Sequence[str] = (),
) -> Sides:
    """Returns ``mu`` beside rows and columns that are sets, as chips of other sets; of single entries not at all."""
    rows: dict[int, Margin] = {}
    columns: dict[int, Margin] = {}
    chips: list[tuple[str, Margin]] = []
    for number, members in enumerate(found.sets):
        name = set_name(found, number, shape[1], names)
        margin = Margin(short(mu[number]), number in found.contributing[cell], number in decides)
        if name.startswith("row "):
            rows[members[0] // shape[1]] = margin
        elif name.startswith("column "):
            columns[members[0] % shape[1]] = margin
        elif name != "the entry itself" or len(found.sets) < sum(shape):
            chips.append((name, margin))
    return Sides(
        tuple(rows[i] for i in range(shape[0])) if len(rows) == shape[0] else (),
        tuple(columns[j] for j in range(shape[1])) if len(columns) == shape[1] else (),
        tuple(chips),
    )

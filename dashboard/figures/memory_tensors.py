"""Where the bytes go within a model: a line and a tile for each tensor, under SM3 as chosen."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from dashboard.figures.byte_words import size, times
from dashboard.figures.chart import Cell, Chart, Column, Key, Table
from dashboard.figures.memory import PARTS, STATE, Answers, Part, numbers_of
from sm3.remote.ledger_views import TensorBytes

Tiles = Literal["× saved", "part"]
HEIGHT_PX = 368
_SMALLEST_SHARE = 0.002
_BINS = (
    (1.05, "@accent/0.06", "as much as AdamW"),
    (2.05, "@accent/0.18", "up to 2× less"),
    (10.0, "@accent/0.34", "2 to 10× less"),
    (float("inf"), "@accent/0.5", "more than 10× less"),
)


@dataclass(frozen=True)
class Line:
    """One tensor: under SM3, and what AdamW keeps for it.

    Attributes:
        tensor: its ledger under SM3.
        adamw_bytes: AdamW's state.
        measured_bytes: what the job's worker measured of SM3's state; None where it did not.
    """

    tensor: TensorBytes
    adamw_bytes: int
    measured_bytes: int | None = None

    @property
    def num_accumulators(self) -> int:
        """How many numbers its cover keeps."""
        return numbers_of(self.tensor.accumulator_shapes)

    @property
    def saved(self) -> float | None:
        """How many times less its state is than AdamW's; None where SM3 keeps nothing."""
        return self.adamw_bytes / self.tensor.state_bytes if self.tensor.state_bytes else None


def lines(answers: Answers) -> tuple[Line, ...]:
    """Returns a line for each tensor, in the model's order."""
    adamw = {tensor.name: tensor.state_bytes for tensor in answers.adamw.tensors}
    measured: dict[str, int] = {}
    if answers.is_as_it_runs:
        measured = {t.name: t.accumulator_bytes + t.momentum_bytes for t in answers.measured}
    return tuple(
        Line(tensor, adamw.get(tensor.name, 0), measured.get(tensor.name))
        for tensor in answers.chosen.tensors
    )


def dims(shape: Sequence[int]) -> str:
    """Returns a shape in words.

    >>> dims((30522, 1024)), dims(())
    ('30,522 × 1,024', 'scalar')
    """
    return " × ".join(f"{length:,}" for length in shape) if shape else "scalar"


def formula(tensor: TensorBytes) -> str:
    """Returns how many accumulators a tensor has, as the sum it is.

    >>> from types import SimpleNamespace
    >>> formula(SimpleNamespace(accumulator_shapes=((1024,), (4096,))))
    '1,024 + 4,096'
    """
    return " + ".join(dims(shape) if shape else "1" for shape in tensor.accumulator_shapes) or "none"


def table(answers: Answers, *, name: str) -> Chart:
    """Returns the table of all tensors, those with most state first."""
    shown = sorted(lines(answers), key=lambda line: -line.tensor.state_bytes)
    is_measured = any(line.measured_bytes is not None for line in shown)
    columns = (
        Column("tensor"),
        Column("shape"),
        Column("cover"),
        Column("accumulators"),
        Column("numbers", "integer"),
        Column("state", "bytes", "B"),
        Column("AdamW", "bytes", "B"),
        Column("× less", "number"),
        *((Column("measured"),) if is_measured else ()),
    )
    rows: list[tuple[Cell, ...]] = []
    for line in shown:
        tensor, saved = line.tensor, line.saved
        row: tuple[Cell, ...] = (
            tensor.name,
            dims(tensor.shape),
            tensor.cover,
            formula(tensor),
            line.num_accumulators,
            tensor.state_bytes,
            line.adamw_bytes,
            None if saved is None else float(f"{saved:.4g}"),
        )
        rows.append((*row, _agreement(line)) if is_measured else row)
    return Chart(
        name=f"tensors-{name}",
        title="Tensor by tensor",
        about="accumulators × 4 B + momentum = state",
        alt=f"A table of {len(rows)} tensors with their cover, accumulators and bytes.",
        table=Table(columns, tuple(rows)),
        height_px=HEIGHT_PX,
    )


def _agreement(line: Line) -> str | None:
    if line.measured_bytes is None:
        return None
    difference = line.measured_bytes - line.tensor.state_bytes
    return (
        f"{size(line.measured_bytes)} ✓"
        if difference == 0
        else f"{size(line.measured_bytes)} ({difference:+,} B)"
    )


@dataclass(frozen=True)
class Tile:
    """One tile; ``parent`` is another tile's id, '' for the whole."""

    id: str
    label: str
    parent: str
    num_bytes: int
    color: str
    hover: str


def tiles(answers: Answers, by: Tiles, *, whole: bool) -> tuple[Tile, ...]:
    """Returns the tiles of the model's state, or with ``whole`` of all its bytes.

    By ``× saved`` a tile is a tensor, and tensors that differ by a number in their name alone are side by side in one
    group; by ``part`` those groups are within the parts. What is too small to be seen is one tile, 'n others'.
    """
    shown = lines(answers)
    if by == "part":
        return _by_part(shown, PARTS[:-1] if whole else STATE)
    total = sum(_area(line, whole=whole) for line in shown)
    found = [Tile("all", _root(answers, total, whole=whole), "", total, "@paper", "")]
    small: list[Line] = []
    for pattern, members in _groups(shown).items():
        area = sum(_area(line, whole=whole) for line in members)
        if area < _SMALLEST_SHARE * total:
            small += members
            continue
        parent = "all"
        if len(members) > 1:
            parent = f"group/{pattern}"
            label = f"{_tail(pattern)} × {len(members)}"
            found.append(Tile(parent, label, "all", area, "@paper", _group_hover(pattern, members)))
        found += [_tile(line, parent, whole=whole) for line in members]
    if small:
        found.append(_others(small, "all", whole=whole))
    return tuple(tile for tile in found if tile.num_bytes or tile.id == "all")


def _area(line: Line, *, whole: bool) -> int:
    return line.tensor.held_bytes if whole else line.tensor.state_bytes


def _root(answers: Answers, total: int, *, whole: bool) -> str:
    return f"{escape(answers.model.name or 'model')}: {size(total)} {'held' if whole else 'of state'}"


def _groups(shown: Sequence[Line]) -> dict[str, list[Line]]:
    """Tensors by their names with numbers left open, in the model's order."""
    found: dict[str, list[Line]] = defaultdict(list)
    for line in shown:
        found[re.sub(r"\d+", "#", line.tensor.name)].append(line)
    return found


def _tail(pattern: str) -> str:
    """The end of a pattern, which tells kinds of tensors apart: what comes behind the last number."""
    tail = pattern.rpartition("#.")[2].removesuffix(".weight")
    return escape(tail or pattern)


def _tile(line: Line, parent: str, *, whole: bool) -> Tile:
    name = line.tensor.name
    label = name.removesuffix(".weight")
    if parent.startswith("group/"):
        label = next(iter(re.findall(r"\d+", name)), label)
    return Tile(name, escape(label), parent, _area(line, whole=whole), _shade(line.saved), _hover(line))


def _shade(saved: float | None) -> str:
    ratio = float("inf") if saved is None else saved
    return next(color for limit, color, _ in _BINS if ratio <= limit)


def _hover(line: Line) -> str:
    tensor = line.tensor
    momentum = f" + {size(tensor.momentum_bytes)} of momentum" if tensor.momentum_bytes else ""
    saved = "" if line.saved is None else f": {times(line.saved)}× less"
    return "<br>".join((
        f"<b>{escape(tensor.name)}</b>  {dims(tensor.shape)}",
        f"{tensor.cover or 'no cover'}: {formula(tensor)} = {line.num_accumulators:,} accumulators",
        f"× 4 B = {size(tensor.accumulators_bytes)}{momentum} = {size(tensor.state_bytes)} of state",
        f"AdamW: {size(line.adamw_bytes)}{saved}",
    ))


def _group_hover(pattern: str, members: Sequence[Line]) -> str:
    state = sum(line.tensor.state_bytes for line in members)
    adamw = sum(line.adamw_bytes for line in members)
    numbers = sum(line.num_accumulators for line in members)
    return "<br>".join((
        f"<b>{escape(pattern)}</b>  {len(members)} tensors",
        f"{numbers:,} accumulators, {size(state)} of state",
        f"AdamW: {size(adamw)}" + (f": {times(adamw / state)}× less" if state else ""),
    ))


def _others(small: Sequence[Line], parent: str, *, whole: bool) -> Tile:
    area = sum(_area(line, whole=whole) for line in small)
    state, adamw = (sum(n) for n in zip(*((x.tensor.state_bytes, x.adamw_bytes) for x in small), strict=True))
    return Tile(
        f"{parent}/others",
        f"{len(small)} others",
        parent,
        area,
        _shade(adamw / state if state else None),
        f"<b>{len(small)} small tensors</b><br>{size(state)} of state, AdamW: {size(adamw)}<br>Each is in the table.",
    )


def _by_part(shown: Sequence[Line], parts: Sequence[Part]) -> tuple[Tile, ...]:
    total = sum(part.of(line.tensor) for part in parts for line in shown)
    found = [Tile("all", size(total), "", total, "@paper", "")]
    for part in parts:
        whole = sum(part.of(line.tensor) for line in shown)
        if not whole:
            continue
        about = f"<b>{part.word}</b><br>{size(whole)}: {part.meaning}"
        found.append(Tile(part.word, f"{part.word}: {size(whole)}", "all", whole, part.tile, about))
        rest = 0
        for pattern, members in _groups(shown).items():
            num_bytes = sum(part.of(line.tensor) for line in members)
            if num_bytes < _SMALLEST_SHARE * total:
                rest += num_bytes
                continue
            copies = f" × {len(members)}" if len(members) > 1 else ""
            hover = f"<b>{escape(pattern)}</b>{copies}<br>{part.word}: {size(num_bytes)}<br>{part.meaning}"
            found.append(
                Tile(
                    f"{part.word}/{pattern}", _tail(pattern) + copies, part.word, num_bytes, "@paper/0", hover
                )
            )
        if rest:
            found.append(
                Tile(
                    f"{part.word}/others",
                    "others",
                    part.word,
                    rest,
                    "@paper/0",
                    f"{size(rest)} of {part.word}",
                )
            )
    return tuple(found)


def treemap(answers: Answers, by: Tiles, *, whole: bool, name: str) -> Chart:
    """Returns the treemap; a press on a group looks into it."""
    drawn = tiles(answers, by, whole=whole)
    what = "held bytes" if whole else "optimizer state"
    if by == "part":
        parts = PARTS[:-1] if whole else STATE
        used = {tile.parent for tile in drawn}
        keys = tuple(Key(p.word, p.tile, box=True) for p in parts if p.word in used)
    else:
        keys = tuple(Key(text, color, box=True) for _, color, text in _BINS)
    rows = tuple((tile.label, tile.parent.removeprefix("group/"), tile.num_bytes) for tile in drawn[1:])
    data: dict[str, Any] = {
        "type": "treemap",
        "branchvalues": "total",
        "ids": [tile.id for tile in drawn],
        "labels": [tile.label for tile in drawn],
        "parents": [tile.parent for tile in drawn],
        "values": [tile.num_bytes for tile in drawn],
        "text": [size(tile.num_bytes) for tile in drawn],
        "hovertext": [tile.hover for tile in drawn],
        "hoverinfo": "text",
        "textinfo": "label+text",
        "textfont": {"color": "@text", "size": 12},
        "marker": {
            "colors": [tile.color for tile in drawn],
            "line": {"width": 1, "color": "@paper"},
            "pad": {"t": 24, "l": 2, "r": 2, "b": 2},
        },
        "tiling": {"pad": 1, "packing": "squarify", "squarifyratio": 1},
        "pathbar": {"visible": True, "thickness": 20, "textfont": {"color": "@text", "size": 12}},
        "sort": True,
        "maxdepth": 3,
    }
    largest = max(drawn[1:], key=lambda tile: tile.num_bytes, default=None)
    return Chart(
        name=f"treemap-{name}",
        title="Where the bytes are",
        about=f"area: {what}; colour: {'part' if by == 'part' else 'times less than AdamW'}",
        alt=f"A treemap of {what}, {size(drawn[0].num_bytes)} in all; the largest tile is "
        f"{largest.label if largest else 'empty'}.",
        table=Table((Column("tile"), Column("within"), Column("bytes", "bytes", "B")), rows),
        data=[data],
        layout={"margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "uniformtext": {"minsize": 10, "mode": "hide"}},
        keys=keys,
        height_px=HEIGHT_PX,
        revision=f"{name}-{by}-{whole}",
        empty="" if drawn[0].num_bytes else "SM3 keeps nothing here.",
    )

"""One tensor at one step under several covers, as heatmaps on one shared scale. Pure.

A map is either **tightness**, log2(ν/γ) in bits, where the job recorded its whole truth (γ, AdaGrad's exact sums), or
**nu**, log10 ν. For slices a frame carries one vector a dim; the bound of an entry is the min over them, so the matrix
is expanded here. Tensors of more than two dims are shown along their longest two, as the largest value over the
others: max over k of min(a, b, c_k) = min(a, b, max c).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from dashboard.figures.compare_sources import Contender
from dashboard.figures.compare_words import bits, color, glyph, size

MAX_BINS = 128
_RECORDED_BINS = 256
_STEPS = 256  # of the 16-bit numbers that travel, a unit
_NOTHING = -(2**15)

Arrays = Mapping[str, npt.NDArray[Any]]
Grid = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Facts:
    """What is known of one contender and one tensor.

    Attributes:
        shape: of the tensor; None where the job has no such tensor, or none yet.
        num_bytes: of its accumulators; None where not known.
        level: median of log2(ν/γ) in bits; None where not recorded.
        spread: its standard deviation in bits.
        exact: whether both are of all entries, not of a sample.
        spread_low: lower end of its 95 % interval.
        spread_high: upper end.
        step: of the frame.
        arrays: of the frame.
        missing: why there is nothing to show; '' where there is.
        has_cover: whether the optimizer keeps sums over sets of entries, so that there is a bound.
    """

    shape: tuple[int, ...] | None = None
    num_bytes: int | None = None
    level: float | None = None
    spread: float | None = None
    exact: bool = False
    spread_low: float | None = None
    spread_high: float | None = None
    step: int | None = None
    arrays: Arrays | None = None
    missing: str = ""
    has_cover: bool = True


@dataclass(frozen=True)
class Panel:
    """One heatmap.

    Attributes:
        name: the contender's.
        place: the contender's.
        facts: bytes, level and spread.
        grid: bits or log10 ν, [rows, columns]; NaN where there is none; None: nothing to draw.
        extent: rows and columns of the tensor that the grid stands for.
        widths: rows and columns of the tensor in one bin of the grid.
        message: why there is no grid, or ''.
    """

    name: str
    place: int
    facts: Facts
    grid: Grid | None
    extent: tuple[int, int]
    widths: tuple[int, int] = (1, 1)
    message: str = ""

    def edges(self) -> tuple[list[int], list[int]]:
        """Returns where rows and columns of the grid begin, and where the last of them ends."""
        if self.grid is None:
            return [], []
        rows, columns = (
            [min(k * width, extent) for k in range(count + 1)]
            for extent, width, count in zip(self.extent, self.widths, self.grid.shape, strict=True)
        )
        return rows, columns

    def payload(self) -> dict[str, object]:
        """Returns the JSON that the component gets; the grid as 16-bit numbers, 1/256 of a bit or decade each."""
        rows, columns = self.edges()
        measured = f"level {bits(self.facts.level)} · spread {bits(self.facts.spread)} bits"
        measured = measured if self.facts.spread is not None else "level and spread not recorded"
        return {
            "name": self.name,
            "glyph": glyph(self.place),
            "color": color(self.place),
            "bytes": size(self.facts.num_bytes),
            "line": "" if self.facts.missing else measured if self.facts.has_cover else "no cover",
            "rows": rows,
            "columns": columns,
            "z": None if self.grid is None else _packed(self.grid),
            "step": self.facts.step,
            "message": self.message,
        }


@dataclass(frozen=True)
class Scale:
    """The one scale of all panels: whole bits from 0, or whole decades of ν."""

    low: float
    high: float
    is_decades: bool


def shown(facts: Sequence[Facts], contenders: Sequence[Contender], tensor: str, wanted: str) -> str:
    """Returns what to draw: what is ``wanted``, else tightness where any contender has it, else ν."""
    if wanted:
        return wanted
    names = [f"tightness{c.at}/grid/{tensor}" for c in contenders]
    has = any(f.arrays is not None and name in f.arrays for f, name in zip(facts, names, strict=True))
    return "tightness" if has else "nu"


def panels(
    contenders: Sequence[Contender], facts: Sequence[Facts], tensor: str, show: str
) -> tuple[Panel, ...]:
    """Returns the heatmaps of all contenders in bins of equal size: the largest of more entries would look looser."""
    each = [panel(c, f, tensor, show) for c, f in zip(contenders, facts, strict=True)]
    sizes = [p.widths for p in each if p.grid is not None]
    if len(set(sizes)) < 2:
        return tuple(each)
    coarsest = (max(rows for rows, _ in sizes), max(columns for _, columns in sizes))
    return tuple(panel(c, f, tensor, show, at_least=coarsest) for c, f in zip(contenders, facts, strict=True))


def panel(
    contender: Contender, facts: Facts, tensor: str, show: str, *, at_least: tuple[int, int] = (1, 1)
) -> Panel:
    """Returns the heatmap of one contender, in bins of ``at_least`` so many rows and columns."""
    grid, message = None, facts.missing
    extent, widths = (1, 1), (1, 1)
    if not message and facts.arrays is not None and facts.shape is not None:
        extent = _extent(facts.shape)
        found = (
            facts.arrays.get(f"tightness{contender.at}/grid/{tensor}")
            if show == "tightness"
            else nu_of(facts.arrays, contender.at, tensor, facts.shape)
        )
        if found is None:
            message = _unrecorded(contender, facts, show)
        else:
            # Of tightness NaN is an entry that was never touched; in ν it is a fault, and wins.
            largest = np.fmax if show == "tightness" else np.maximum
            matrix = flat(np.asarray(found, np.float64), facts.shape, largest)
            grid, widths = pooled(matrix, extent, at_least, largest)
            if show == "nu":
                with np.errstate(divide="ignore", invalid="ignore"):
                    grid = np.log10(grid)
            grid = np.where(np.isfinite(grid), grid, np.nan)
    return Panel(contender.name, contender.place, facts, grid, extent, widths, message)


def nu_of(arrays: Arrays, at: str, tensor: str, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """Returns the pooled ν of ``tensor``: as recorded, or the min over its slices.

    >>> rows, columns = np.array([4.0, 1.0]), np.array([2.0, 3.0, 9.0])
    >>> arrays = {"accumulators/dim0/w": rows, "accumulators/dim1/w": columns}
    >>> nu_of(arrays, "", "w", (2, 3)).tolist()
    [[2.0, 3.0, 4.0], [1.0, 1.0, 1.0]]
    """
    entries = arrays.get(f"accumulators{at}/entries/{tensor}")
    if entries is not None:
        return entries
    vectors = {dim: arrays.get(f"accumulators{at}/dim{dim}/{tensor}") for dim in range(max(1, len(shape)))}
    if all(vector is None for vector in vectors.values()):
        return None
    if len(shape) < 2:
        return vectors[0]
    first, second = longest(shape)
    row, column = (_vector(vectors[dim], shape[dim]) for dim in (first, second))
    others = [
        v.max() for dim, v in vectors.items() if v is not None and dim not in {first, second} and v.size
    ]
    bound: npt.NDArray[Any] = np.minimum(row[:, None], column[None, :])
    return np.minimum(bound, min(others)) if others else bound


def flat(values: Grid, shape: tuple[int, ...], largest: np.ufunc = np.maximum) -> Grid:
    """Returns ``values``, pooled along the dims of ``shape``, as a matrix: the largest over all but the longest two."""
    if values.ndim == len(shape) and values.ndim > 2:
        others = tuple(dim for dim in range(len(shape)) if dim not in longest(shape))
        values = largest.reduce(values, axis=others)
    return values if values.ndim == 2 else values.reshape(1, -1)


def pooled(
    grid: Grid, extent: tuple[int, int], at_least: tuple[int, int] = (1, 1), largest: np.ufunc = np.maximum
) -> tuple[Grid, tuple[int, int]]:
    """Returns the largest in each bin of a grid of at most 128², and how many rows and columns a bin spans.

    Bins span ``at_least`` so many of ``extent``. Where these are no multiple of the grid's own, a bin counts every one
    that it overlaps.

    >>> grid, widths = pooled(np.arange(256.0)[None], (1, 1024))
    >>> grid.shape, float(grid[0, 0]), widths
    ((1, 128), 1.0, (1, 8))
    >>> pooled(np.arange(5.0)[None], (1, 10), (1, 3))
    (array([[1., 2., 4., 4.]]), (1, 3))
    """
    widths = []
    for axis, count in enumerate(grid.shape):
        own = ceil(extent[axis] / max(1, count))
        width = max(own * ceil(count / MAX_BINS), at_least[axis])
        if count and width > own:
            starts = range(0, extent[axis], width)
            parts = [
                grid.take(range(start // own, min(count, ceil((start + width) / own))), axis)
                for start in starts
            ]
            grid = np.stack([largest.reduce(part, axis=axis) for part in parts], axis)
        widths.append(width)
    return grid, (widths[0], widths[1])


def longest(shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns the two longest dims in their order."""
    order = sorted(range(len(shape)), key=lambda dim: (-shape[dim], dim))
    first, second = sorted(order[:2])
    return first, second


def scale(panels: Sequence[Panel], show: str) -> Scale:
    """Returns the scale that all panels share."""
    values = [p.grid[np.isfinite(p.grid)] for p in panels if p.grid is not None]
    finite = np.concatenate([v for v in values if v.size] or [np.zeros(1)])
    if show == "tightness":
        return Scale(0.0, float(max(1, ceil(finite.max() - 1e-9))), is_decades=False)
    low = floor(finite.min() + 1e-9)
    return Scale(float(low), float(max(low + 1, ceil(finite.max() - 1e-9))), is_decades=True)


def _extent(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        return 1, max(1, prod(shape))
    first, second = longest(shape)
    return max(1, shape[first]), max(1, shape[second])


def _vector(values: npt.NDArray[Any] | None, size_of_dim: int) -> npt.NDArray[Any]:
    """Returns a dim's accumulators; of a dim without any, what decides no min, as often as a frame would hold it."""
    if values is not None:
        return values
    return np.full(ceil(size_of_dim / max(1, ceil(size_of_dim / _RECORDED_BINS))), np.inf)


def _packed(grid: Grid) -> str:
    numbers = np.where(np.isnan(grid), _NOTHING, np.clip(np.round(grid * _STEPS), -32_000, 32_000))
    return base64.b64encode(numbers.astype("<i2").tobytes()).decode("ascii")


def _unrecorded(contender: Contender, facts: Facts, show: str) -> str:
    if not facts.has_cover:
        return "This optimizer has no cover, so there is no bound to show."
    if show == "tightness":
        return "No map of tightness was recorded: name this tensor in record.truth."
    if contender.shadow is not None:
        return "This shadow does not follow this tensor."
    return "No accumulators of it were recorded."

"""How the scalar points of many frames are laid down, so that each question reads only what it needs. No I/O.

Vocabulary:

* **scope**: which of a few hundred frames' points a chunk holds: ``job`` the job's own series, ``t00`` … ``t7f`` those
  of the tensors whose name falls there (so one tensor's history is a 128th of all of theirs), ``glance`` a few points
  of every tensor's `SAMPLED` and `COUNTED` series, which say all tensors in one small read.
* ``tensor``: what stores of before hold in place of the ``t…`` and the ``glance``: all points of all tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from sm3.remote.frames import Scalars
from sm3.remote.live_specs import MOSTLY, GlanceStatistic

JOB, ALL_TENSORS, GLANCE = "job", "tensor", "glance"
BUCKETS = 128
SAMPLED = frozenset(GlanceStatistic)
COUNTED = frozenset({"nonfinite", "nonfinite_mu", "poisoned"})
"""Counts that are nearly always 0: a glance has every change of them, for one that came and went has to be told."""
_POINTS_A_CHUNK = 8
Places = npt.NDArray[np.intp]


def is_job_wide(series: str) -> bool:
    """Returns whether a scalar series belongs to the job rather than to one of its tensors."""
    return "/" not in series


def bucket_of(tensor: str) -> str:
    """Returns the scope that holds a tensor's series."""
    return f"t{crc32(tensor.encode('utf-8', 'surrogatepass')) % BUCKETS:02x}"


def cut(points: Scalars) -> Iterator[tuple[str, Scalars]]:
    """Yields (scope, its points in their order) of all points; nothing is lost but `GLANCE` repeats some."""
    scopes = [JOB if is_job_wide(name) else bucket_of(name.partition("/")[2]) for name in points.names]
    numbers = {scope: number for number, scope in enumerate(sorted(set(scopes)))}
    scope_of = np.array([numbers[scope] for scope in scopes], np.int64)
    place = np.zeros(len(scopes), np.uint32)  # of a name among those of its scope
    names: dict[str, list[str]] = {scope: [] for scope in numbers}
    for index, (scope, name) in enumerate(zip(scopes, points.names, strict=True)):
        place[index] = len(names[scope])
        names[scope].append(name)
    of_point = scope_of[points.series]
    order = np.argsort(of_point, kind="stable")
    ends = np.searchsorted(of_point[order], np.arange(len(numbers) + 1))
    for scope, number in numbers.items():
        these = order[ends[number] : ends[number + 1]]
        yield (
            scope,
            Scalars(
                tuple(names[scope]), points.step[these], place[points.series[these]], points.value[these]
            ),
        )
    yield GLANCE, glance(points)


def glance(points: Scalars) -> Scalars:
    """Returns at most 8 points, evenly spaced, of each `SAMPLED` series; of `COUNTED` ones the first and all changes.

    Of ``saturated`` also where it becomes the case of most sets, and where no more.
    """
    sampled = points.select(n for n in points.names if n.partition("/")[0] in SAMPLED and "/" in n)
    counted = points.select(n for n in points.names if n.partition("/")[0] in COUNTED)
    saturated = sampled.select(n for n in sampled.names if n.startswith(f"{GlanceStatistic.SATURATED}/"))
    turns = _changes(saturated, saturated.value >= MOSTLY)
    return Scalars.concatenate((_spaced(sampled), turns, _changes(counted, counted.value)))


def _spaced(points: Scalars) -> Scalars:
    order, rank, count = _ranks(points)
    share = _POINTS_A_CHUNK * (rank + 1) // count > _POINTS_A_CHUNK * rank // count
    return _taken(points, order[share])


def _changes(points: Scalars, states: npt.NDArray[Any]) -> Scalars:
    """Returns each series' first point, and those at which its state differs from the one before.

    The first one always: whether it is a change is known only by who has what came before it.
    """
    order, rank, _ = _ranks(points)
    now = states[order]
    return _taken(points, order[(rank == 0) | (now != np.roll(now, 1))])


def _ranks(points: Scalars) -> tuple[Places, Places, Places]:
    """Returns the points' order by series, and for each in that order its rank in its series and that one's size."""
    order = np.argsort(points.series, kind="stable")
    sizes = np.bincount(points.series, minlength=len(points.names))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else sizes
    of_series = points.series[order]
    rank = np.arange(len(order)) - starts[of_series] if len(order) else order
    return order, rank, sizes[of_series]


def _taken(points: Scalars, places: Places) -> Scalars:
    return Scalars(points.names, points.step[places], points.series[places], points.value[places])

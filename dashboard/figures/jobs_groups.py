"""Jobs by the value of a setting: how many, in which states, and the best of them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dashboard.figures.cover_words import cover_words
from dashboard.figures.paths import flatten
from sm3.remote.optimizer_specs import Sm3Spec
from sm3.remote.wire import JobView

NAMED = ("recipe", "optimizer", "cover", "lr", "comparison")
"""Groupings with a name of their own; any other is the dotted path of a setting, or ``label:KEY``."""

NO_VALUE = "–"
_SKIPPED = ("labels", "recipe.name", "optimizer.name", "optimizer.lr", "optimizer.cover")


@dataclass(frozen=True)
class Group:
    """The jobs that share one value.

    Attributes:
        value: the value in words.
        jobs: the jobs, in the order of the list.
        states: how many are in which of the API's states.
        best: the job with the lowest loss, or None while none has a finite one.
        best_val: the lowest held-out loss among them, or None.
    """

    value: str
    jobs: tuple[JobView, ...]
    states: dict[str, int]
    best: JobView | None
    best_val: float | None


def value_of(job: JobView, setting: str) -> str:
    """Returns what ``job`` has for ``setting``, in words; `NO_VALUE` where it has no such setting."""
    spec = job.spec
    match setting:
        case "recipe":
            return f"{spec.recipe.name} {spec.recipe.size}"
        case "optimizer":
            return spec.optimizer.name
        case "cover":
            return cover_words(spec.optimizer.cover) if isinstance(spec.optimizer, Sm3Spec) else NO_VALUE
        case "lr":
            return f"{spec.optimizer.lr:g}"
        case "comparison":
            return job.labels.get("comparison", NO_VALUE)
    if setting.startswith("label:"):
        return job.labels.get(setting.removeprefix("label:"), NO_VALUE)
    value = flatten(spec.model_dump(mode="json")).get(setting)
    return NO_VALUE if value is None else value if isinstance(value, str) else json.dumps(value)


def settings_of(jobs: Iterable[JobView]) -> tuple[str, ...]:
    """Returns what ``jobs`` can be grouped by: the named groupings, their labels, and the settings they differ in."""
    listed = list(jobs)
    labels = sorted({key for job in listed for key in job.labels if key != "comparison"})
    specs = [flatten(job.spec.model_dump(mode="json")) for job in listed]
    paths = sorted({path for spec in specs for path in spec})
    differing = [
        path
        for path in paths
        if not path.startswith(_SKIPPED)
        and len({json.dumps(spec.get(path), sort_keys=True) for spec in specs}) > 1
    ]
    return (*NAMED, *(f"label:{key}" for key in labels), *differing)


def grouped(jobs: Sequence[JobView], setting: str, *, by_loss: bool = False) -> tuple[Group, ...]:
    """Returns ``jobs`` by their value of ``setting``, in the order of the values, or of the best losses."""
    members: dict[str, list[JobView]] = {}
    for job in jobs:
        members.setdefault(value_of(job, setting), []).append(job)
    groups = [_group(value, tuple(found)) for value, found in members.items()]
    if by_loss:
        return tuple(sorted(groups, key=lambda group: _loss(group.best)))
    return tuple(sorted(groups, key=lambda group: _natural(group.value)))


def _group(value: str, jobs: tuple[JobView, ...]) -> Group:
    finite = [job for job in jobs if _loss(job) < math.inf]
    held_out = [job.progress.val_loss for job in jobs if job.progress.val_loss is not None]
    return Group(
        value=value,
        jobs=jobs,
        states=dict(Counter(job.state.value for job in jobs)),
        best=min(finite, key=_loss, default=None),
        best_val=min(filter(math.isfinite, held_out), default=None),
    )


def _loss(job: JobView | None) -> float:
    """Returns the newest loss, infinity where there is none or none that compares."""
    loss = None if job is None else job.progress.loss
    return loss if loss is not None and math.isfinite(loss) else math.inf


def _natural(value: str) -> tuple[int, float, str]:
    """Orders numbers by size before words, and no value last."""
    if value == NO_VALUE:
        return 2, 0.0, ""
    try:
        return 0, float(value), ""
    except ValueError:
        return 1, 0.0, value.lower()

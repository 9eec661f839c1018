"""Whether a record spec fits a model's tensors: every fault at once, before any training. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

from sm3.covers import from_spec
from sm3.probes.accumulators import shadow_numbers
from sm3.probes.base import MAP_BINS
from sm3.remote.frames import MAX_FRAME_BYTES
from sm3.remote.record_specs import ProbeName, RecordSpec, ShadowSpec, label_of

Shapes = Mapping[str, tuple[int, ...]]
MAX_FAULTS = 100


@dataclass(frozen=True)
class Fault:
    """One thing that does not fit.

    Attributes:
        field: dotted path inside the record spec.
        given: what was given there.
        allowed: what is allowed, and what to do.
    """

    field: str
    given: object
    allowed: str

    def __str__(self) -> str:
        """Given and allowed in one sentence."""
        return f"given {self.given!r}; allowed: {self.allowed}"


def record_faults(spec: RecordSpec, shapes: Shapes) -> list[Fault]:
    """Returns all that does not fit: globs that match nothing, covers that do not cover, truth that is too large.

    Args:
        spec: what is to be recorded.
        shapes: name to shape of the model's parameters.
    """
    faults = list(_unmatched("truth", spec.truth, shapes))
    for name, settings in spec.probe_settings.items():
        faults += _unmatched(f"probe_settings.{name.value}.tensors", settings.tensors, shapes)
    for number, shadow in enumerate(spec.shadows):
        faults += _shadow_faults(f"shadows.{number}", shadow, shapes)
    faults += _limit_faults(spec, shapes)
    if ProbeName.POISON in spec.probes and spec.truth:
        matrices = [name for name, shape in shapes.items() if len(shape) == 2]
        if not any(_matches(name, spec.truth) for name in matrices):
            allowed = f"for the probe 'poison', globs that match a matrix, such as {_some(matrices)}"
            faults.append(Fault("truth", list(spec.truth), allowed))
    needed = sum(4 * prod(shape) for name, shape in shapes.items() if _matches(name, spec.truth))
    if needed > spec.truth_limit_bytes:
        faults.append(
            Fault(
                "truth",
                list(spec.truth),
                f"at most truth_limit_bytes = {spec.truth_limit_bytes:,} bytes; these tensors take {needed:,}: "
                "choose fewer or raise the limit",
            )
        )
    return faults[:MAX_FAULTS]


def _limit_faults(spec: RecordSpec, shapes: Shapes) -> Iterator[Fault]:
    """What all shadows together take too much of: memory, and room in a frame."""
    num_bytes = frame_bytes = 0
    for shadow in spec.shadows:
        try:
            cover = from_spec(shadow.cover)
        except ValueError:
            continue  # told elsewhere
        for name, shape in shapes.items():
            if not _matches(name, shadow.tensors) or not (shadow.vectors or len(shape) > 1):
                continue
            try:
                num_bytes += 4 * cover.num_accumulators(shape)
            except ValueError:
                continue  # told elsewhere
            frame_bytes += 4 * shadow_numbers(cover, shape)
            if _matches(name, spec.truth):
                frame_bytes += 4 * prod(min(size, MAP_BINS) for size in shape)
    if num_bytes > spec.shadow_limit_bytes:
        yield Fault(
            "shadows",
            f"{len(spec.shadows)} shadows of {num_bytes:,} bytes",
            f"at most shadow_limit_bytes = {spec.shadow_limit_bytes:,} bytes: fewer shadows or tensors, or raise it",
        )
    if frame_bytes > MAX_FRAME_BYTES // 2:
        yield Fault(
            "shadows",
            f"{len(spec.shadows)} shadows that add up to {frame_bytes:,} bytes to a frame",
            f"at most {MAX_FRAME_BYTES // 2:,}: fewer shadows or tensors",
        )


def _shadow_faults(field: str, shadow: ShadowSpec, shapes: Shapes) -> Iterator[Fault]:
    yield from _unmatched(f"{field}.tensors", shadow.tensors, shapes)
    chosen = {
        name: shape
        for name, shape in shapes.items()
        if _matches(name, shadow.tensors) and (shadow.vectors or len(shape) > 1)
    }
    if not chosen and any(_matches(name, shadow.tensors) for name in shapes):
        yield Fault(
            f"{field}.tensors",
            list(shadow.tensors),
            "globs that match a tensor of rank 2 or more, or vectors = true for those of rank 0 and 1",
        )
    try:
        cover = from_spec(shadow.cover)
    except ValueError as error:
        yield Fault(f"{field}.cover", shadow.cover.kind, str(error))
        return
    label = label_of(shadow)
    for name, shape in chosen.items():
        try:
            cover.accumulator_shapes(shape)
        except ValueError as error:
            yield Fault(f"{field}.cover", label, f"a cover that fits {name!r}: {error}")


def _unmatched(field: str, globs: Sequence[str], shapes: Shapes) -> Iterator[Fault]:
    for number, glob in enumerate(globs):
        if not any(fnmatchcase(name, glob) for name in shapes):
            yield Fault(f"{field}.{number}", glob, f"a glob that matches a tensor, such as {_some(shapes)}")


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _some(shapes: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in list(shapes)[:4])

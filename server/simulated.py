"""Whether a simulation can be answered: every fault at once, before a process is asked. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from sm3.covers import from_spec
from sm3.remote.cover_specs import CoverSpec, ExplicitSpec, ReshapedSpec, UnionSpec
from sm3.remote.simulation_specs import MAX_NUMBERS, SimulationSpec
from sm3.remote.wire import FieldFault

MAX_MEMBERS = 16_384
"""Most that a cover's sets may list in all."""


def faults(spec: SimulationSpec) -> Iterator[FieldFault]:
    """Yields the covers that cannot cover the shape or list too much, and whether the answer would be too long."""
    numbers = 0
    for number, cover in enumerate(spec.covers):
        field = f"covers.{number}"
        if (listed := _listed(cover, prod(spec.shape))) > MAX_MEMBERS:
            allowed = f"sets that list at most {MAX_MEMBERS:,} entries in all; these may list {listed:,}"
            yield FieldFault(field=field, given=cover.kind, allowed=allowed)
            continue
        try:
            numbers += prod(spec.shape) + from_spec(cover).num_accumulators(spec.shape) + listed
        except ValueError as error:
            yield FieldFault(field=field, given=cover.kind, allowed=f"a cover that fits: {error}")
    if numbers * len(spec.gradients) > MAX_NUMBERS:
        allowed = (
            f"steps × (entries + accumulators + entries of all sets) of at most {MAX_NUMBERS:,} over all covers: "
            "fewer of any"
        )
        yield FieldFault(field="gradients", given=numbers * len(spec.gradients), allowed=allowed)


def _listed(cover: CoverSpec, entries: int) -> int:
    """How many entries a cover's sets list at most, each as often as it is in one."""
    match cover:
        case ExplicitSpec():
            return sum(map(len, cover.sets)) + len(cover.sets)
        case UnionSpec():
            return sum(_listed(member, entries) for member in cover.members)
        case ReshapedSpec(view=tuple(view)):
            return max(len(view) * entries, _listed(cover.inner, entries))
        case ReshapedSpec():
            return _listed(cover.inner, entries)
        case _:
            return 3 * entries

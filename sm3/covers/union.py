"""Union: the sets of several covers together. Tighter than each of them, at the sum of their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sm3.covers.base import Cover, Shape
from sm3.remote.cover_specs import UnionSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from sm3.covers.base import Accumulators


class Union(Cover):
    """All members' accumulators, one after the other.

    Args:
        members: At least two covers, each of which accepts the tensor's shape.

    Raises:
        ValueError: Fewer than two members.
    """

    kind = "union"

    def __init__(self, *members: Cover) -> None:
        if len(members) < 2:
            raise ValueError(f"a union of {len(members)} covers; give at least two")
        self.members = members

    def accumulator_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """Those of all members, in order."""
        return tuple(s for member in self.members for s in member.accumulator_shapes(shape))

    def bound(self, mu: Accumulators, shape: Shape) -> Tensor:
        """Min over the members' bounds."""
        return self._least(member.bound(own, shape) for member, own in self._shares(mu, shape))

    def bound_at(self, mu: Accumulators, shape: Shape, entries: Tensor) -> Tensor:
        """Min over the members' bounds at `entries`."""
        return self._least(member.bound_at(own, shape, entries) for member, own in self._shares(mu, shape))

    def _shares(self, mu: Accumulators, shape: Shape) -> Iterator[tuple[Cover, Accumulators]]:
        """Each member and its own accumulators."""
        start = 0
        for member in self.members:
            stop = start + len(member.accumulator_shapes(shape))
            yield member, mu[start:stop]
            start = stop

    @staticmethod
    def _least(bounds: Iterator[Tensor]) -> Tensor:
        nu = next(bounds)
        for bound in bounds:
            nu = nu.minimum(bound)
        return nu

    def _reduce(self, nu: Tensor) -> Accumulators:
        return tuple(mu for member in self.members for mu in member.reduce(nu))

    def sets(self, shape: Shape) -> list[list[int]]:
        """Those of all members, in order."""
        return [s for member in self.members for s in member.sets(shape)]

    def spec(self) -> UnionSpec:
        """The JSON form."""
        return UnionSpec(members=tuple(member.spec() for member in self.members))

    @classmethod
    def from_spec(cls, spec: UnionSpec) -> Union:
        """The cover a spec describes."""
        from sm3.covers.registry import from_spec

        return cls(*map(from_spec, spec.members))

"""Whole: one set a tensor, so one learning rate for all of it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from sm3.covers.base import Cover, Shape
from sm3.remote.cover_specs import WholeSpec

if TYPE_CHECKING:
    from torch import Tensor

    from sm3.covers.base import Accumulators


class Whole(Cover):
    """One accumulator a tensor: one float."""

    kind = "whole"

    def accumulator_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """A single 0-d tensor."""
        return ((),)

    def bound(self, mu: Accumulators, shape: Shape) -> Tensor:
        """The accumulator, everywhere."""
        return mu[0].expand(shape)

    def bound_at(self, mu: Accumulators, shape: Shape, entries: Tensor) -> Tensor:
        """The one accumulator, for each of `entries`."""
        return mu[0].expand(entries.shape)

    def _reduce(self, nu: Tensor) -> Accumulators:
        return (nu.amax(),)

    def sets(self, shape: Shape) -> list[list[int]]:
        """The one set of all entries."""
        return [list(range(prod(shape)))]

    def spec(self) -> WholeSpec:
        """The JSON form."""
        return WholeSpec()

    @classmethod
    def from_spec(cls, spec: WholeSpec) -> Whole:
        """The cover a spec describes."""
        return cls()

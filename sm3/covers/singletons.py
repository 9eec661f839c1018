"""Singletons: every entry is its own set, which is AdaGrad."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from sm3.covers.base import Cover, Shape
from sm3.remote.cover_specs import SingletonsSpec

if TYPE_CHECKING:
    from torch import Tensor

    from sm3.covers.base import Accumulators


class Singletons(Cover):
    """One accumulator an entry: as many floats as parameters, and the exact Σ g²."""

    kind = "singletons"

    def accumulator_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """The tensor's own shape."""
        return (shape,)

    def bound(self, mu: Accumulators, shape: Shape) -> Tensor:
        """The accumulators themselves."""
        return mu[0]

    def _reduce(self, nu: Tensor) -> Accumulators:
        return (nu,)

    def sets(self, shape: Shape) -> list[list[int]]:
        """One set an entry."""
        return [[flat] for flat in range(prod(shape))]

    def spec(self) -> SingletonsSpec:
        """The JSON form."""
        return SingletonsSpec()

    @classmethod
    def from_spec(cls, spec: SingletonsSpec) -> Singletons:
        """The cover a spec describes."""
        return cls()

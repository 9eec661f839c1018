"""Reshaped: another cover of the same entries seen in another shape, such as attention heads or a square."""

from __future__ import annotations

from functools import lru_cache
from math import isqrt, prod
from typing import TYPE_CHECKING, Literal

from sm3.covers.base import Cover, Shape
from sm3.remote.cover_specs import ReshapedSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from sm3.covers.base import Accumulators


class Reshaped(Cover):
    """The inner cover's accumulators, for the tensor's entries in row-major order under `view`.

    Args:
        view: A shape with at most one −1 to be inferred: `(12, 64, 768)` sees 12 heads in a 768 × 768 matrix.
            "square" takes the two factors of the size nearest to each other: about 2·√n accumulators for a
            vector of n entries under slices.
        inner: The cover of the tensor so seen.

    Raises:
        ValueError: `view` has more than one −1, or a negative size.
    """

    kind = "reshaped"

    def __init__(self, view: Literal["square"] | Iterable[int], inner: Cover) -> None:
        self.view: Literal["square"] | Shape = "square" if view == "square" else tuple(map(int, view))
        self.inner = inner
        if self.view != "square" and (self.view.count(-1) > 1 or any(size < -1 for size in self.view)):
            raise ValueError(
                f"view={self.view}; allowed: 'square', or sizes ≥ 0 with at most one -1 to infer"
            )

    def view_of(self, shape: Shape) -> Shape:
        """The view's shape for a tensor of `shape`.

        Raises:
            ValueError: The view holds another number of entries.
        """
        size = prod(shape)
        if self.view == "square":
            return _nearest_to_square(size)
        known = prod(s for s in self.view if s != -1)
        inferred = size // known if known else 0
        view = tuple(inferred if s == -1 else s for s in self.view)
        if prod(view) != size:
            raise ValueError(f"a tensor of shape {shape} ({size} entries) cannot be viewed as {self.view}")
        return view

    def accumulator_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """The inner cover's, for the view."""
        return self.inner.accumulator_shapes(self.view_of(shape))

    def bound(self, mu: Accumulators, shape: Shape) -> Tensor:
        """The inner cover's bound, seen in the tensor's own shape."""
        return self.inner.bound(mu, self.view_of(shape)).reshape(shape)

    def bound_at(self, mu: Accumulators, shape: Shape, entries: Tensor) -> Tensor:
        """The inner cover's: a view keeps flat indices."""
        return self.inner.bound_at(mu, self.view_of(shape), entries)

    def _reduce(self, nu: Tensor) -> Accumulators:
        return self.inner.reduce(nu.reshape(self.view_of(tuple(nu.shape))))

    def sets(self, shape: Shape) -> list[list[int]]:
        """The inner cover's: a view keeps flat indices."""
        return self.inner.sets(self.view_of(shape))

    def spec(self) -> ReshapedSpec:
        """The JSON form."""
        return ReshapedSpec(view=self.view, inner=self.inner.spec())

    @classmethod
    def from_spec(cls, spec: ReshapedSpec) -> Reshaped:
        """The cover a spec describes."""
        from sm3.covers.registry import from_spec

        return cls(spec.view, from_spec(spec.inner))


@lru_cache(maxsize=4096)
def _nearest_to_square(size: int) -> Shape:
    """The two factors of `size` nearest to each other, the smaller first; (1, n) for a prime n."""
    rows = next((r for r in range(isqrt(size), 0, -1) if size % r == 0), 0)
    return (rows, size // rows if rows else 0)

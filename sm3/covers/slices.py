"""Slices: the co-dimension-1 slices along each dim, or along a chosen few. Rows and columns of a matrix."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from sm3.covers.base import Cover, Shape
from sm3.remote.cover_specs import SlicesSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from sm3.covers.base import Accumulators


class Slices(Cover):
    """One accumulator for each index along each (chosen) dim: Σ dᵢ floats. A 0-d tensor is one set.

    Args:
        dims: Dims to slice along; None means all. `(0,)` is rows only, `(1,)` columns only for a matrix;
            negative dims count from the end.

    Raises:
        ValueError: `dims` is empty: no set would cover anything.
    """

    kind = "slices"

    def __init__(self, dims: Iterable[int] | None = None) -> None:
        self.dims = None if dims is None else tuple(dims)
        if self.dims == ():
            raise ValueError(
                "slices with dims=() leaves index 0 uncovered; name at least one dim, or None for all"
            )

    def dims_of(self, shape: Shape) -> tuple[int, ...]:
        """The dims sliced along for a tensor of `shape`, as non-negative numbers; () only for 0-d."""
        rank = len(shape)
        if self.dims is None or rank == 0:
            return tuple(range(rank))
        for dim in self.dims:
            if not -rank <= dim < rank:
                raise ValueError(
                    f"slices along dim {dim} of a tensor of shape {shape}: allowed are {-rank}..{rank - 1}"
                )
        dims = tuple(dim % rank for dim in self.dims)
        if len(set(dims)) < len(dims):
            raise ValueError(
                f"slices with dims={self.dims} name a dim of shape {shape} twice; name each once"
            )
        return dims

    def accumulator_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """One vector for each dim sliced along."""
        return tuple((shape[dim],) for dim in self.dims_of(shape)) if shape else ((),)

    def bound(self, mu: Accumulators, shape: Shape) -> Tensor:
        """Min over the slices through each entry."""
        if not shape:
            return mu[0]
        views = (
            values.view([shape[k] if k == dim else 1 for k in range(len(shape))])
            for dim, values in zip(self.dims_of(shape), mu, strict=True)
        )
        nu = next(views)
        for values in views:
            nu = nu.minimum(values)
        return nu.expand(shape)

    def bound_at(self, mu: Accumulators, shape: Shape, entries: Tensor) -> Tensor:
        """Min over the slices through each of `entries`."""
        if not shape:
            return mu[0].expand(1)[entries]
        position, along = entries, {}
        for dim in reversed(range(len(shape))):
            along[dim], position = position % shape[dim], position // shape[dim]
        bounds = [values[along[dim]] for dim, values in zip(self.dims_of(shape), mu, strict=True)]
        nu = bounds[0]
        for bound in bounds[1:]:
            nu = nu.minimum(bound)
        return nu

    def _reduce(self, nu: Tensor) -> Accumulators:
        if nu.dim() <= 1:
            return (nu,)
        rank = nu.dim()
        return tuple(
            nu.amax(dim=[k for k in range(rank) if k != dim]) for dim in self.dims_of(tuple(nu.shape))
        )

    def sets(self, shape: Shape) -> list[list[int]]:
        """Each slice along each dim in turn."""
        if not shape:
            return [[0]]
        found = []
        for dim in self.dims_of(shape):
            slices: list[list[int]] = [[] for _ in range(shape[dim])]
            for flat, index in enumerate(product(*map(range, shape))):
                slices[index[dim]].append(flat)
            found += slices
        return found

    def spec(self) -> SlicesSpec:
        """The JSON form."""
        return SlicesSpec(dims=self.dims)

    @classmethod
    def from_spec(cls, spec: SlicesSpec) -> Slices:
        """The cover a spec describes."""
        return cls(spec.dims)

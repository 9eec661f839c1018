"""Blocks: axis-aligned tiles, the last along a dim perhaps smaller. A partition: no entry is in two sets."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from sm3.covers.base import Cover, Shape
from sm3.remote.cover_specs import BlocksSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from sm3.covers.base import Accumulators


class Blocks(Cover):
    """One accumulator a tile: Π ⌈dᵢ/tᵢ⌉ floats.

    Args:
        tile: Edges of a tile, one for each dim, or one number for all dims of a tensor of any rank.

    Raises:
        ValueError: An edge is below 1: such tiles would cover nothing.
    """

    kind = "blocks"

    def __init__(self, tile: int | Iterable[int] = 64) -> None:
        self.tile = tile if isinstance(tile, int) else tuple(tile)
        edges = (self.tile,) if isinstance(self.tile, int) else self.tile
        if not all(edge >= 1 for edge in edges):
            raise ValueError(
                f"blocks with tile={tile!r} leave index 0 uncovered; every edge must be at least 1"
            )

    def edges_of(self, shape: Shape) -> Shape:
        """The tile's edge along each dim of a tensor of `shape`."""
        if isinstance(self.tile, int):
            return (self.tile,) * len(shape)
        if len(self.tile) != len(shape):
            raise ValueError(
                f"blocks with tile={self.tile} cover tensors of rank {len(self.tile)}, not of shape {shape}; "
                "give one edge a dim, or one int for any rank"
            )
        return self.tile

    def accumulator_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """The grid of tiles."""
        return (tuple(-(-size // edge) for size, edge in zip(shape, self.edges_of(shape), strict=True)),)

    def bound(self, mu: Accumulators, shape: Shape) -> Tensor:
        """Each tile's accumulator, repeated over the tile."""
        nu = mu[0]
        for dim, (size, edge) in enumerate(zip(shape, self.edges_of(shape), strict=True)):
            edge = min(edge, max(size, 1))
            nu = nu.repeat_interleave(edge, dim).narrow(dim, 0, size) if edge > 1 else nu
        return nu

    def bound_at(self, mu: Accumulators, shape: Shape, entries: Tensor) -> Tensor:
        """The accumulator of the tile around each of `entries`."""
        (grid,) = self.accumulator_shapes(shape)
        position, tile, stride = entries, entries * 0, 1
        for size, edge, count in reversed(list(zip(shape, self.edges_of(shape), grid, strict=True))):
            tile = tile + position % size // edge * stride
            position, stride = position // size, stride * count
        return mu[0].reshape(-1)[tile]

    def _reduce(self, nu: Tensor) -> Accumulators:
        for dim, edge in enumerate(self.edges_of(tuple(nu.shape))):
            nu = _pooled(nu, dim, edge) if edge > 1 else nu
        return (nu,)

    def sets(self, shape: Shape) -> list[list[int]]:
        """Each tile, in row-major order of the grid."""
        edges = self.edges_of(shape)
        (grid,) = self.accumulator_shapes(shape)
        tiles: dict[tuple[int, ...], list[int]] = {tile: [] for tile in product(*map(range, grid))}
        for flat, index in enumerate(product(*map(range, shape))):
            tiles[tuple(i // edge for i, edge in zip(index, edges, strict=True))].append(flat)
        return list(tiles.values())

    def spec(self) -> BlocksSpec:
        """The JSON form."""
        return BlocksSpec(tile=self.tile)

    @classmethod
    def from_spec(cls, spec: BlocksSpec) -> Blocks:
        """The cover a spec describes."""
        return cls(spec.tile)


def _pooled(nu: Tensor, dim: int, edge: int) -> Tensor:
    """Max over consecutive runs of `edge` along `dim`, the last run perhaps shorter."""
    import torch

    size = nu.shape[dim]
    whole = size - size % edge
    parts = []
    if whole:
        runs = (*nu.shape[:dim], whole // edge, edge, *nu.shape[dim + 1 :])
        parts.append(nu.narrow(dim, 0, whole).reshape(runs).amax(dim + 1))
    if whole < size:
        parts.append(nu.narrow(dim, whole, size - whole).amax(dim, keepdim=True))
    return torch.cat(parts, dim) if len(parts) > 1 else parts[0]

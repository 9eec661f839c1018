"""Explicit: any index sets over a tensor of one shape, overlapping as they please."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from sm3.covers.base import Cover, Shape
from sm3.remote.cover_specs import ExplicitSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import Tensor

    from sm3.covers.base import Accumulators


class Explicit(Cover):
    """One accumulator a set. Keeps two index tensors of Σ |set| numbers beside the accumulators.

    Args:
        sets: Flat (row-major) indices of each set's entries.
        shape: The only shape this cover is for.

    Raises:
        ValueError: An index is outside the shape or twice in a set, or the sets leave an index uncovered.
    """

    kind = "explicit"

    def __init__(self, sets: Iterable[Iterable[int]], shape: Iterable[int]) -> None:
        self.shape = tuple(shape)
        self._sets = tuple(tuple(members) for members in sets)
        size = prod(self.shape)
        covered: set[int] = set()
        for k, members in enumerate(self._sets):
            for flat in members:
                if not 0 <= flat < size:
                    raise ValueError(
                        f"set {k} holds {flat}; allowed are 0..{size - 1} for shape {self.shape}"
                    )
            if len(set(members)) < len(members):
                raise ValueError(f"set {k} holds an index twice: {_some(members)}; name each once")
            covered.update(members)
        if len(covered) < size:
            flat = next(i for i in range(size) if i not in covered)
            raise ValueError(
                f"the sets leave index {flat} uncovered, which is {_position(flat, self.shape)} in shape "
                f"{self.shape}; every entry must be in at least one set"
            )
        self._pairs: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def accumulator_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """One vector, a number for each set."""
        if tuple(shape) != self.shape:
            raise ValueError(f"explicit sets for shape {self.shape} cannot cover a tensor of shape {shape}")
        return ((len(self._sets),),)

    def bound(self, mu: Accumulators, shape: Shape) -> Tensor:
        """Min over the sets each entry is listed in."""
        entries, sets = self.incidences(mu[0].device)
        nu = mu[0].new_full((prod(shape),), float("inf"))
        return nu.scatter_reduce(0, entries, mu[0][sets], "amin").view(shape)

    def _reduce(self, nu: Tensor) -> Accumulators:
        entries, sets = self.incidences(nu.device)
        mu = nu.new_full((len(self._sets),), float("-inf"))
        mu = mu.scatter_reduce(0, sets, nu.reshape(-1)[entries], "amax")
        return (mu.masked_fill(mu == float("-inf"), 0.0),)

    def incidences(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Every (entry, set) pair, as two index vectors on `device`."""
        if device not in self._pairs:
            import torch

            pairs = [(flat, k) for k, members in enumerate(self._sets) for flat in members]
            table = torch.tensor(pairs, dtype=torch.long, device=device).reshape(-1, 2)
            self._pairs[device] = (table[:, 0].contiguous(), table[:, 1].contiguous())
        return self._pairs[device]

    def sets(self, shape: Shape) -> list[list[int]]:
        """The sets as given."""
        self.accumulator_shapes(shape)
        return [list(members) for members in self._sets]

    def spec(self) -> ExplicitSpec:
        """The JSON form."""
        return ExplicitSpec(shape=self.shape, sets=self._sets)

    @classmethod
    def from_spec(cls, spec: ExplicitSpec) -> Explicit:
        """The cover a spec describes."""
        return cls(spec.sets, spec.shape)


def _some(members: tuple[int, ...]) -> str:
    """The first few of a set, for people to find it."""
    return f"[{', '.join(map(str, members[:8]))}{', …' if len(members) > 8 else ''}]"


def _position(flat: int, shape: Shape) -> Shape:
    """The multi-dim index of a flat one."""
    index = []
    for size in reversed(shape):
        flat, i = divmod(flat, size)
        index.append(i)
    return tuple(reversed(index))

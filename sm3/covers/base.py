"""What a cover is: three pure functions and one oracle.

A cover of a tensor is a family of index sets whose union is all of it. One number is kept for each set r, its
accumulator `mu(r)`; `bound` reads an upper bound of every entry's AdaGrad accumulator from them, `reduce`
makes them anew. Modules here load without torch, so that bytes can be predicted where torch is absent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sm3.remote.cover_specs import CoverSpec

    Accumulators = tuple[Tensor, ...]

Shape = tuple[int, ...]


class Cover(ABC):
    """A family of index sets over a tensor of any shape it accepts. Immutable; equal when specs are equal."""

    kind: ClassVar[str]

    @abstractmethod
    def accumulator_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """Shapes of the `mu` tensors for a tensor of `shape`.

        Raises:
            ValueError: The family cannot cover such a shape; the message says what it can.
        """

    @abstractmethod
    def bound(self, mu: Accumulators, shape: Shape) -> Tensor:
        """Min of `mu` over the sets that contain each entry.

        Args:
            mu: Tensors of `accumulator_shapes(shape)`.
            shape: The covered tensor's shape.

        Returns:
            A tensor of `shape`, perhaps a view of `mu`: do not write into it. NaN propagates.
        """

    @abstractmethod
    def _reduce(self, nu: Tensor) -> Accumulators:
        """Max of a non-empty `nu` within each set."""

    @abstractmethod
    def sets(self, shape: Shape) -> list[list[int]]:
        """Every set as flat (row-major) indices, in the order of the flattened and concatenated `mu`.

        The oracle: slow, explicit, for tests and teaching.
        """

    @abstractmethod
    def spec(self) -> CoverSpec:
        """The JSON form; `sm3.covers.from_spec` makes an equal cover of it."""

    def num_accumulators(self, shape: Shape) -> int:
        """Floats kept for a tensor of `shape`. Needs no torch."""
        return sum(prod(s) for s in self.accumulator_shapes(shape))

    def init(self, shape: Shape, *, device: torch.device | str | None = None) -> Accumulators:
        """Zeroed float32 accumulators for a tensor of `shape`; adds `num_accumulators(shape)` floats."""
        import torch

        return tuple(
            torch.zeros(s, dtype=torch.float32, device=device) for s in self.accumulator_shapes(shape)
        )

    def bound_at(self, mu: Accumulators, shape: Shape, entries: Tensor) -> Tensor:
        """The bound of some entries only: `bound(mu, shape).flatten()[entries]`, without forming the rest.

        Args:
            mu: Tensors of `accumulator_shapes(shape)`.
            shape: The covered tensor's shape.
            entries: int64 (n,), flat (row-major) indices.

        Returns:
            float32 (n,). NaN propagates.
        """
        return self.bound(mu, shape).reshape(-1)[entries]

    def reduce(self, nu: Tensor) -> Accumulators:
        """Max of `nu` within each set.

        Args:
            nu: A tensor of the covered shape. NaN propagates.

        Returns:
            Tensors of `accumulator_shapes(nu.shape)`, perhaps views of `nu`. A set without entries gets 0.
        """
        if nu.numel() == 0:
            return tuple(nu.new_zeros(s) for s in self.accumulator_shapes(tuple(nu.shape)))
        return self._reduce(nu)

    def __eq__(self, other: object) -> bool:
        """Whether both describe the same family."""
        return isinstance(other, Cover) and self.spec() == other.spec()

    def __hash__(self) -> int:
        """A hash that agrees with equality."""
        return hash(self.spec())

    def __repr__(self) -> str:
        """The family and its arguments."""
        fields = self.spec().model_dump(exclude={"kind"}, exclude_none=True)
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in fields.items())})"

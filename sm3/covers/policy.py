"""Which cover serves which parameter: ordered rules on names, then a default by rank."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from sm3.covers.singletons import Singletons
from sm3.covers.slices import Slices

if TYPE_CHECKING:
    from sm3.covers.base import Cover, Shape


_SLICES = Slices()
_SINGLETONS = Singletons()


@dataclass(frozen=True)
class CoverPolicy:
    """The cover of each parameter, by name and shape.

    Attributes:
        default: For tensors of rank ≥ 2 that no rule names.
        rules: Ordered `(glob on the parameter name, cover)`; the first match wins, whatever the rank.
        vectors: For tensors of rank ≤ 1 that no rule names. Singletons cost no more than the tensor itself.

    >>> CoverPolicy(rules=(("*embed*", Slices(dims=(0,))),)).cover_for("tok_embed.weight", (1000, 64))
    Slices(dims=(0,))
    """

    default: Cover = _SLICES
    rules: tuple[tuple[str, Cover], ...] = ()
    vectors: Cover = _SINGLETONS

    def cover_for(self, name: str, shape: Shape) -> Cover:
        """The cover of the parameter called `name`.

        Raises:
            ValueError: That cover cannot cover `shape`.
        """
        cover = next((c for pattern, c in self.rules if fnmatchcase(name, pattern)), None)
        if cover is None:
            cover = self.default if len(shape) >= 2 else self.vectors
        try:
            cover.accumulator_shapes(shape)
        except ValueError as error:
            raise ValueError(f"parameter {name!r}: {error}") from None
        return cover

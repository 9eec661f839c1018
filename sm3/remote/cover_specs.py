"""The JSON form of every cover: a discriminated union on `kind`.

The same description works in Python (`sm3.covers.from_spec`), in REST and in the dashboard. Bounds are what a
service can afford to accept from a stranger, not limits of the library.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_RANK = 16
MAX_DEPTH = 4
MAX_COVERS = 64
MAX_EXPLICIT_SETS = 65_536
MAX_EXPLICIT_ENTRIES = 1_048_576

_Dim = Annotated[int, Field(ge=-MAX_RANK, lt=MAX_RANK)]
_Size = Annotated[int, Field(ge=1, le=2**40)]
_Index = Annotated[int, Field(ge=0, le=2**40)]


class _Spec(BaseModel):
    """What every spec shares: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SlicesSpec(_Spec):
    """The co-dimension-1 slices along every dim, or along the chosen `dims`: rows and columns of a matrix."""

    kind: Literal["slices"] = "slices"
    dims: Annotated[tuple[_Dim, ...], Field(min_length=1, max_length=MAX_RANK)] | None = Field(
        default=None, description="dims to slice along; null means all; negative counts from the end"
    )


class SingletonsSpec(_Spec):
    """Every entry is its own set: AdaGrad."""

    kind: Literal["singletons"] = "singletons"


class WholeSpec(_Spec):
    """One set a tensor."""

    kind: Literal["whole"] = "whole"


class BlocksSpec(_Spec):
    """Axis-aligned tiles; an int `tile` is used along every dim."""

    kind: Literal["blocks"] = "blocks"
    tile: _Size | Annotated[tuple[_Size, ...], Field(min_length=1, max_length=MAX_RANK)] = Field(
        default=64, description="tile edge along every dim, or one for each dim"
    )


class ReshapedSpec(_Spec):
    """An inner cover of the same entries seen in another shape, such as attention heads."""

    kind: Literal["reshaped"] = "reshaped"
    view: (
        Literal["square"]
        | Annotated[tuple[Annotated[int, Field(ge=-1, le=2**40)], ...], Field(max_length=MAX_RANK)]
    )
    inner: CoverSpec


class UnionSpec(_Spec):
    """The sets of all members together: the bound is the min over them, their memory adds."""

    kind: Literal["union"] = "union"
    members: Annotated[tuple[CoverSpec, ...], Field(min_length=2, max_length=8)]


class ExplicitSpec(_Spec):
    """Sets written out as flat (row-major) indices into a tensor of exactly `shape`; they may overlap."""

    kind: Literal["explicit"] = "explicit"
    shape: Annotated[tuple[_Index, ...], Field(max_length=MAX_RANK)]
    sets: Annotated[tuple[tuple[_Index, ...], ...], Field(max_length=MAX_EXPLICIT_SETS)]

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        entries = sum(map(len, self.sets))
        if entries > MAX_EXPLICIT_ENTRIES:
            raise ValueError(
                f"explicit sets list {entries} entries; at most {MAX_EXPLICIT_ENTRIES} are allowed"
            )
        return self


CoverSpec = Annotated[
    SlicesSpec | SingletonsSpec | WholeSpec | BlocksSpec | ReshapedSpec | UnionSpec | ExplicitSpec,
    Field(discriminator="kind"),
]


def require_simple(cover: CoverSpec) -> CoverSpec:
    """Returns ``cover``; raises `ValueError` where it is nested too deep or made of too many."""
    level, depth, total = [cover], 0, 0
    while level:
        depth, total = depth + 1, total + len(level)
        if depth > MAX_DEPTH:
            raise ValueError(f"covers nested more than {MAX_DEPTH} deep; at most {MAX_DEPTH} are allowed")
        if total > MAX_COVERS:
            raise ValueError(f"a cover made of more than {MAX_COVERS} covers; use fewer members")
        level = [inner for outer in level for inner in _inside(outer)]
    return cover


def _inside(cover: CoverSpec) -> tuple[CoverSpec, ...]:
    if isinstance(cover, ReshapedSpec):
        return (cover.inner,)
    return cover.members if isinstance(cover, UnionSpec) else ()


class CoverRule(_Spec):
    """A cover for the parameters whose name matches a glob; the first matching rule wins."""

    match: str = Field(
        min_length=1, max_length=200, description="glob on the parameter name", examples=["*embed*"]
    )
    cover: Annotated[CoverSpec, AfterValidator(require_simple)]


ReshapedSpec.model_rebuild()
UnionSpec.model_rebuild()
CoverRule.model_rebuild()

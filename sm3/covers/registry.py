"""The families of covers, and the way from a JSON description to a cover.

To add a family: one file beside this one, its spec in `sm3.remote.cover_specs`, one line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, TypeAdapter

from sm3.covers.blocks import Blocks
from sm3.covers.explicit import Explicit
from sm3.covers.reshaped import Reshaped
from sm3.covers.singletons import Singletons
from sm3.covers.slices import Slices
from sm3.covers.union import Union
from sm3.covers.whole import Whole
from sm3.remote.cover_specs import CoverSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sm3.covers.base import Cover


class Family(Protocol):
    """A class of covers: knows its `kind` and how to read its own spec."""

    kind: str

    def from_spec(self, spec: Any) -> Cover:
        """The cover a spec describes."""


FAMILIES: dict[str, Any] = {
    family.kind: family for family in (Slices, Singletons, Whole, Blocks, Reshaped, Union, Explicit)
}

_SPECS: TypeAdapter[CoverSpec] = TypeAdapter(CoverSpec)


def from_spec(spec: CoverSpec | Mapping[str, Any] | str) -> Cover:
    """The cover a JSON description stands for.

    Args:
        spec: A spec model, its JSON object as a mapping, or only the kind of a family that needs no
            arguments: `from_spec("slices")`.

    Raises:
        ValueError: The description is malformed (pydantic's error is one) or names what cannot cover a
        tensor.

    >>> from_spec({"kind": "slices", "dims": [0]})
    Slices(dims=(0,))
    """
    if isinstance(spec, str):
        spec = {"kind": spec}
    model = spec if isinstance(spec, BaseModel) else _SPECS.validate_python(spec)
    cover: Cover = FAMILIES[model.kind].from_spec(model)
    return cover

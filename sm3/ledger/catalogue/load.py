"""Reads the tables.

A table is one JSON file. ``blocks`` lists tensors as ``[name, shape]`` or, with a third entry false, tensors that are
not trained; a block with ``repeat`` stands for that many copies, ``#`` in its names being first, first + 1, ….
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from sm3.ledger.fits import Transformer
from sm3.ledger.shapes import LedgerError, TensorShape
from sm3.remote.ledger_specs import nearest
from sm3.remote.recipe_specs import (
    ImageModel,
    ImagesSpec,
    LanguageModelSpec,
    ModelSize,
    RecipeSpec,
    parameter_shapes,
)
from sm3.remote.wire import FieldFault


@dataclass(frozen=True)
class CatalogueModel:
    """One architecture.

    Attributes:
        name: what it is asked for by.
        title: for people.
        family: models of one make in several sizes.
        tensors: its tensors, tied ones once.
        published_parameters: the count that its authors or their code tell; 0 for our own recipes.
        published_in: where.
        rounded_to: how exactly it is told: the two counts differ by less.
        provenance: where the shapes are from.
        transformer: what activations hang on; None where the estimate does not serve.
    """

    name: str
    title: str
    family: str
    tensors: tuple[TensorShape, ...]
    published_parameters: int
    published_in: str
    rounded_to: int
    provenance: str
    transformer: Transformer | None

    @property
    def num_parameters(self) -> int:
        """Entries of its trainable tensors."""
        return sum(tensor.num_entries for tensor in self.tensors if tensor.trainable)


def names() -> tuple[str, ...]:
    """Returns the names of all models, families together, smallest first; the project's recipes come last."""
    return tuple(catalogue())


def model(name: str) -> CatalogueModel:
    """Returns a model by its name.

    Raises:
        LedgerError: There is none; it tells the nearest names.
    """
    found = catalogue().get(name)
    if found is None:
        raise LedgerError([FieldFault(field="model", given=name, allowed=nearest(name, names()))])
    return found


@cache
def catalogue() -> Mapping[str, CatalogueModel]:
    """Returns every model by name; read once."""
    tables = [
        _read(json.loads(file.read_text(encoding="utf-8")))
        for file in files("sm3.ledger.catalogue").joinpath("tables").iterdir()
        if file.name.endswith(".json")
    ]
    first = {m.family: min(o.num_parameters for o in tables if o.family == m.family) for m in tables}
    tables.sort(key=lambda m: (first[m.family], m.family, m.num_parameters, m.name))
    recipes = [
        *(of_recipe(LanguageModelSpec(name="language-model", size=size)) for size in ModelSize),
        *(of_recipe(ImagesSpec(name="images", model=kind)) for kind in ImageModel),
    ]
    return {m.name: m for m in (*tables, *recipes)}


def of_recipe(spec: RecipeSpec) -> CatalogueModel:
    """Returns the model that a job with this recipe trains."""
    transformer = None
    if isinstance(spec, LanguageModelSpec):
        size = spec.shape
        transformer = Transformer(size.layers, size.width, size.heads, spec.effective_context)
    return CatalogueModel(
        name=f"{spec.name}-{spec.size.value}",
        title=f"this project's recipe {spec.name}, {spec.size.value}",
        family=spec.name,
        tensors=tuple(TensorShape(name, shape) for name, shape in parameter_shapes(spec).items()),
        published_parameters=0,
        published_in="",
        rounded_to=0,
        provenance="sm3/remote/recipe_specs.py (parameter_shapes)",
        transformer=transformer,
    )


def _read(table: Mapping[str, Any]) -> CatalogueModel:
    shape = table["transformer"]
    return CatalogueModel(
        name=table["name"],
        title=table["title"],
        family=table["family"],
        tensors=tuple(_tensors(table["blocks"])),
        published_parameters=table["published"]["parameters"],
        published_in=table["published"]["source"],
        rounded_to=table["published"]["rounded_to"],
        provenance=table["provenance"],
        transformer=None if shape is None else Transformer(**shape),
    )


def _tensors(blocks: list[Mapping[str, Any]]) -> Iterator[TensorShape]:
    for block in blocks:
        first = block.get("first", 0)
        for number in range(first, first + block.get("repeat", 1)):
            for name, shape, *frozen in block["tensors"]:
                own = name.replace("#", str(number)) if "repeat" in block else name
                yield TensorShape(own, tuple(shape), trainable=not frozen)

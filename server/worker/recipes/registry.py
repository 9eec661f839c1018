"""Every recipe by the name its spec carries. A new one is a file beside this and one line here."""

from collections.abc import Mapping
from types import MappingProxyType

from server.worker.recipes import language_model
from server.worker.recipes.base import Builder

RECIPES: Mapping[str, Builder] = MappingProxyType({
    "language-model": language_model.build,
})

"""Every recipe by the name its spec carries. A new one is a file beside this and one line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from server.worker.recipes import images, language_model
from server.worker.recipes.base import Builder

# Any: each builder takes the spec that carries its name, which a mapping's type cannot say.
RECIPES: Mapping[str, Builder[Any]] = MappingProxyType({
    "language-model": language_model.build,
    "images": images.build,
})

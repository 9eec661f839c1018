"""What can be launched, described for people and forms. No torch."""

from __future__ import annotations

from dataclasses import asdict

from server.worker.data.registry import CORPORA
from sm3.remote.recipe_specs import SIZES, LanguageModelSpec, num_parameters
from sm3.remote.wire import RecipeView


def recipe_views() -> tuple[RecipeView, ...]:
    """Returns every recipe with its sizes, and its data with licence and provenance."""
    sizes: dict[str, dict[str, int | str]] = {
        size.value: asdict(info)
        | {"parameters": num_parameters(LanguageModelSpec(name="language-model", size=size))}
        for size, info in SIZES.items()
    }
    data = {
        name.value: {"title": corpus.title, "licence": corpus.licence, "provenance": corpus.provenance}
        for name, corpus in CORPORA.items()
    }
    return (
        RecipeView(
            name="language-model",
            summary="A small GPT that learns to predict the next piece of a text; loss in nats a token.",
            json_schema=LanguageModelSpec.model_json_schema(),
            sizes=sizes,
            data=data,
        ),
    )

"""What the specs say of a model without torch is what the model is."""

import subprocess
import sys

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from server.worker.recipes.model_gpt import GPT, GPTConfig
from sm3.remote.recipe_specs import (
    SIZES,
    LanguageModelSpec,
    ModelSize,
    RecipeSpec,
    num_parameters,
    parameter_shapes,
)

SPECS: TypeAdapter[RecipeSpec] = TypeAdapter(RecipeSpec)


def language_model(**options: object) -> LanguageModelSpec:
    return LanguageModelSpec.model_validate({"name": "language-model", **options})


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("size", ModelSize)
def test_predicted_shapes_are_those_of_the_real_model(size, tied):
    spec = language_model(size=size, tied=tied)
    row = spec.shape
    with torch.device("meta"):
        model = GPT(
            GPTConfig(
                layers=row.layers,
                width=row.width,
                heads=row.heads,
                context=row.context,
                vocab=row.vocab,
                tied=tied,
            )
        )
    real = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert parameter_shapes(spec) == real
    assert list(parameter_shapes(spec)) == list(real)
    assert num_parameters(spec) == sum(parameter.numel() for parameter in model.parameters())


def test_gpt2_small_tied_has_gpt2s_124_million_parameters():
    assert num_parameters(language_model(size="gpt2-small", tied=True)) == 124_439_808


def test_every_size_has_a_row_and_rows_grow():
    assert list(SIZES) == list(ModelSize)
    counts = [num_parameters(language_model(size=size)) for size in SIZES]
    assert counts == sorted(set(counts))


def test_a_shorter_context_shortens_only_the_position_table():
    full, short = language_model(), language_model(context=16)
    assert num_parameters(full) - num_parameters(short) == (64 - 16) * 128


def test_options_left_out_fall_back_to_the_sizes_own():
    spec = SPECS.validate_python({"name": "language-model"})
    assert (spec.effective_context, spec.effective_batch_size) == (64, 8)
    assert language_model(context=32, batch_size=2).effective_batch_size == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": "language-model", "size": "huge"},
        {"name": "language-model", "corpus": "http://example.org/"},
        {"name": "language-model", "batch_size": 0},
        {"name": "language-model", "context": 4096},
        {"name": "language-model", "path": "/etc/passwd"},
    ],
)
def test_what_is_not_offered_is_refused(wrong):
    with pytest.raises(ValidationError):
        SPECS.validate_python(wrong)


def test_a_spec_survives_json():
    spec = language_model(size="small", corpus="kjv", tied=True, context=32)
    assert SPECS.validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("module", ["sm3.remote.recipe_specs", "server.worker.data.registry"])
def test_specs_and_corpus_declarations_load_neither_torch_nor_tokenizers(module):
    code = f"import sys, {module}; sys.exit(any(m in sys.modules for m in ('torch', 'tokenizers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

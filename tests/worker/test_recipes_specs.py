"""What the specs say of a model without torch is what the model is."""

import subprocess
import sys

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from server.worker.recipes.model_gpt import GPT, GPTConfig
from server.worker.recipes.model_images import create_classifier
from sm3.remote.recipe_specs import (
    IMAGE_MODELS,
    SIZES,
    ImageModel,
    ImagesSpec,
    LanguageModelSpec,
    ModelSize,
    RecipeSpec,
    num_parameters,
    parameter_shapes,
)

SPECS: TypeAdapter[RecipeSpec] = TypeAdapter(RecipeSpec)


def language_model(**options: object) -> LanguageModelSpec:
    return LanguageModelSpec.model_validate({"name": "language-model", **options})


def images(**options: object) -> ImagesSpec:
    return ImagesSpec.model_validate({"name": "images", **options})


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


@pytest.mark.parametrize("model", ImageModel)
def test_predicted_shapes_are_those_of_the_real_classifier(model):
    spec = images(model=model)
    classifier = create_classifier(model, seed=0, device=torch.device("cpu"))
    real = {name: tuple(parameter.shape) for name, parameter in classifier.named_parameters()}
    assert parameter_shapes(spec) == real
    assert list(parameter_shapes(spec)) == list(real)
    assert num_parameters(spec) == sum(parameter.numel() for parameter in classifier.parameters())


def test_every_classifier_is_described_and_they_grow():
    assert list(IMAGE_MODELS) == list(ImageModel)
    counts = [num_parameters(images(model=model)) for model in IMAGE_MODELS]
    assert counts == sorted(set(counts)) == [235_146, 421_642]


def test_shapes_handed_out_can_be_changed_without_changing_the_next_ones():
    parameter_shapes(images()).clear()
    assert parameter_shapes(images())


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
        {"name": "language-model", "dataset": "mnist-5k"},
        {"name": "images", "dataset": "cifar-10"},
        {"name": "images", "model": "resnet-50"},
        {"name": "images", "batch_size": 0},
        {"name": "images", "batch_size": 1025},
        {"name": "images", "batch_size": None},
        {"name": "images", "size": "mlp"},
        {"name": "pictures"},
    ],
)
def test_what_is_not_offered_is_refused(wrong):
    with pytest.raises(ValidationError):
        SPECS.validate_python(wrong)


@pytest.mark.parametrize(
    "spec",
    [
        language_model(size="small", corpus="kjv", tied=True, context=32),
        images(),
        images(dataset="fashion-mnist", model="cnn", batch_size=1024),
    ],
)
def test_a_spec_survives_json(spec):
    assert SPECS.validate_json(spec.model_dump_json()) == spec


def test_images_left_to_their_defaults_are_64_digits_a_step_for_the_mlp():
    spec = SPECS.validate_python({"name": "images"})
    assert spec == images(dataset="mnist-5k", model="mlp", batch_size=64)
    assert spec.size is spec.model


def test_the_schema_tells_the_recipes_apart_by_their_name():
    schema = SPECS.json_schema()
    assert schema["discriminator"]["propertyName"] == "name"
    assert set(schema["discriminator"]["mapping"]) == {"language-model", "images"}


@pytest.mark.parametrize("module", ["sm3.remote.recipe_specs", "server.worker.data.registry"])
def test_specs_and_corpus_declarations_load_neither_torch_nor_tokenizers(module):
    code = f"import sys, {module}; sys.exit(any(m in sys.modules for m in ('torch', 'tokenizers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

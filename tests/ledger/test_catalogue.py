"""The catalogue against published counts, other code and its own making."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sm3.ledger import LedgerError, predict
from sm3.ledger.catalogue import catalogue, model, names
from sm3.ledger.measure import tensors_of
from sm3.remote.recipe_specs import LanguageModelSpec, num_parameters
from tests.ledger.packages import version

ROOT = Path(__file__).parents[2]
PUBLISHED = [name for name in names() if catalogue()[name].published_parameters]


def test_what_was_asked_for_is_there() -> None:
    assert {
        "transformer-big", "bert-large", "gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl", "t5-base", "t5-large",
        "llama-3-8b", "llama-3-70b", "vit-b-16", "vit-l-16", "resnet-50", "mixtral-8x7b", "language-model-tiny",
        "images-cnn",
    } <= set(names())  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_add_up_to_the_published_count(name: str) -> None:
    known = model(name)
    # Each is told to some digits: the counts agree to these.
    assert abs(known.num_parameters - known.published_parameters) < known.rounded_to
    assert known.rounded_to <= 0.05 * known.published_parameters
    assert known.published_in
    assert known.provenance


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bert-large", 336_226_108),
        ("transformer-big", 375_373_824),
        ("gpt2-xl", 1_557_611_200),
        ("llama-3-8b", 8_030_261_248),
        ("resnet-50", 25_557_032),
    ],
)
def test_counts_are_those_of_the_projects_table(name: str, parameters: int) -> None:
    assert model(name).num_parameters == parameters
    assert predict(name, "adagrad").total.accumulators == 4 * parameters


def test_names_are_given_once_in_a_model_and_no_repeat_is_left_open() -> None:
    for known in catalogue().values():
        listed = [tensor.name for tensor in known.tensors]
        assert len(set(listed)) == len(listed)
        assert not any("#" in name for name in listed)


def test_llamas_layers_are_all_there() -> None:
    shapes = {tensor.name: tensor.shape for tensor in model("llama-3-70b").tensors}
    assert len(shapes) == 80 * 9 + 3
    assert shapes["model.layers.79.self_attn.k_proj.weight"] == (1024, 8192)
    assert shapes["model.layers.0.mlp.down_proj.weight"] == (8192, 28672)


def test_torchs_own_transformer_is_transformer_big_with_fused_attention() -> None:
    with torch.device("meta"):
        layers = torch.nn.Transformer(1024, 16, 6, 6, 8192, batch_first=True)
        tables = torch.nn.ModuleList(torch.nn.Embedding(32_000, 1024) for _ in range(3))
    layers.encoder.norm = layers.decoder.norm = None  # post-norm has none at the end
    fused = tensors_of(torch.nn.ModuleList([layers, tables]))
    ledger = predict(fused, {"name": "sm3", "momentum": 0})
    assert ledger.num_parameters == 375_373_824
    assert ledger.total.accumulators == 2_706_432
    three = predict("transformer-big", {"name": "sm3", "momentum": 0}).total.accumulators
    # 18 attentions, each three vectors of 1,024 columns where fused there is one
    assert three - 2_706_432 == 4 * 18 * 2 * 1024


def test_a_recipe_is_in_the_catalogue_by_its_size() -> None:
    spec = LanguageModelSpec(name="language-model", size="small")
    assert model("language-model-small").num_parameters == num_parameters(spec)


@pytest.mark.parametrize(
    ("given", "nearest"), [("bert-larg", "bert-large"), ("GPT2-XL", "gpt2-xl"), ("llama3-8b", "llama-3-8b")]
)
def test_an_unknown_model_is_told_with_the_nearest_names(given: str, nearest: str) -> None:
    with pytest.raises(LedgerError, match="did you mean") as caught:
        model(given)
    (fault,) = caught.value.faults
    assert (fault.field, fault.given) == ("model", given)
    assert nearest in fault.allowed.partition("?")[0]


def test_the_tables_are_what_the_script_generates() -> None:
    if version("transformers") is None:
        pytest.skip("transformers is not installed; `make test-ledger` installs it")
    if version("transformers") not in model("bert-large").provenance:
        pytest.skip("the tables are of another version of transformers")
    script = ROOT / "scripts" / "generate_catalogue.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_module_is_read_on_meta_with_its_buffers_and_tied_tensors_once() -> None:
    with torch.device("meta"):
        tied = torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.Linear(8, 50, bias=False))
        tied[1].weight = tied[0].weight
        module = torch.nn.ModuleList([
            tied,
            torch.nn.BatchNorm1d(8),
            torch.nn.Linear(2, 2).requires_grad_(False),
        ])
    found = tensors_of(module)
    assert [(t.name, t.dtype.value, t.trainable) for t in found] == [
        ("0.0.weight", "fp32", True),
        ("1.weight", "fp32", True),
        ("1.bias", "fp32", True),
        ("2.weight", "fp32", False),
        ("2.bias", "fp32", False),
        ("1.running_mean", "fp32", False),
        ("1.running_var", "fp32", False),
        ("1.num_batches_tracked", "int64", False),
    ]
    assert predict(module, "adamw").num_parameters == 50 * 8 + 16
    with pytest.raises(ValueError, match="complex64; the ledger knows"):
        tensors_of(torch.nn.ParameterList([torch.zeros(2, dtype=torch.complex64)]))

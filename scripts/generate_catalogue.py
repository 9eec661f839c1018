"""Writes the shape tables of ``sm3/ledger/catalogue/tables``; run ``make catalogue``.

Models are built by `transformers` from configurations written out below, on torch's `meta` device, where tensors have
shapes and no memory; nothing is downloaded. A tied tensor is listed once. ``--check`` compares instead of writing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    BertConfig,
    BertForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MarianConfig,
    MarianMTModel,
    MixtralConfig,
    MixtralForCausalLM,
    ResNetConfig,
    ResNetForImageClassification,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

TABLES = Path(__file__).parents[1] / "sm3" / "ledger" / "catalogue" / "tables"


@dataclass(frozen=True)
class Entry:
    """A model to be tabulated, and what others say of its size."""

    name: str
    title: str
    family: str
    make: Callable[[], torch.nn.Module]
    made_by: str
    published: int
    rounded_to: int
    source: str
    transformer: tuple[int, int, int, int] | None = None  # layers, width, heads, context


def marian(vocab: int, ff: int, *, tied: bool) -> MarianMTModel:
    """An encoder and a decoder of six post-norm layers of width 1024, sinusoidal positions."""
    return MarianMTModel(
        MarianConfig(
            vocab_size=vocab, d_model=1024, encoder_layers=6, decoder_layers=6, encoder_attention_heads=16,
            decoder_attention_heads=16, encoder_ffn_dim=ff, decoder_ffn_dim=ff, pad_token_id=0,
            decoder_start_token_id=0, share_encoder_decoder_embeddings=tied, tie_word_embeddings=tied,
        )
    )  # fmt: skip


def gpt2(layers: int, width: int, heads: int) -> GPT2LMHeadModel:
    """GPT-2 with its tied output layer."""
    return GPT2LMHeadModel(GPT2Config(n_layer=layers, n_embd=width, n_head=heads))


def t5(width: int, ff: int, layers: int, heads: int) -> T5ForConditionalGeneration:
    """T5 of 2019: tied embeddings, ReLU."""
    return T5ForConditionalGeneration(
        T5Config(
            d_model=width, d_ff=ff, num_layers=layers, num_heads=heads, d_kv=64, vocab_size=32128,
            decoder_start_token_id=0,
        )
    )  # fmt: skip


def llama3(layers: int, width: int, ff: int, heads: int) -> LlamaForCausalLM:
    """Llama 3: eight key-value heads, untied output layer."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=128256, hidden_size=width, intermediate_size=ff, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=8, tie_word_embeddings=False,
        )
    )  # fmt: skip


def vit(layers: int, width: int, ff: int, heads: int) -> ViTForImageClassification:
    """ViT at 224 pixels in patches of 16, with a head of 1000 classes."""
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=ff,
            num_labels=1000,
        )
    )  # fmt: skip


GPT2_SOURCE = "github.com/openai/gpt-2 names its models by it (the paper's counts are known to be wrong)"
T5_SOURCE = "arXiv 1910.10683, section 3.7"
ENTRIES = (
    Entry(
        "transformer-big", "Transformer-Big as the SM3 paper trains it: MLP 8192, three untied tables of 32,000",
        "transformer-big", lambda: marian(32000, 8192, tied=False), "MarianMTModel, untied",
        375_400_000, 100_000, "arXiv 1901.11150, section 5: 375.4M parameters (second hand)", (12, 1024, 16, 128),
    ),
    Entry(
        "transformer-big-vaswani", "Transformer (big) of Vaswani et al., WMT en-de, one shared table of 37,000",
        "transformer-big", lambda: marian(37000, 4096, tied=True), "MarianMTModel, tied",
        213_000_000, 2_000_000, "arXiv 1706.03762, table 3: 213M; its vocabulary is 'about 37000'", (12, 1024, 16, 128),
    ),
    Entry(
        "bert-base", "BERT-Base with its pre-training heads", "bert",
        lambda: BertForPreTraining(BertConfig()), "BertForPreTraining",
        110_000_000, 1_000_000, "arXiv 1810.04805, section 3: 110M", (12, 768, 12, 512),
    ),
    Entry(
        "bert-large", "BERT-Large with its pre-training heads", "bert",
        lambda: BertForPreTraining(
            BertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
        ), "BertForPreTraining",
        340_000_000, 5_000_000, "arXiv 1810.04805, section 3: 340M", (24, 1024, 16, 512),
    ),
    *(
        Entry(
            f"gpt2-{size}", f"GPT-2 {size}", "gpt2", lambda a=arguments: gpt2(*a), "GPT2LMHeadModel",
            published, 1_000_000, GPT2_SOURCE, (*arguments, 1024),
        )
        for size, arguments, published in (
            ("small", (12, 768, 12), 124_000_000),
            ("medium", (24, 1024, 16), 355_000_000),
            ("large", (36, 1280, 20), 774_000_000),
            ("xl", (48, 1600, 25), 1_558_000_000),
        )
    ),
    *(
        Entry(
            f"t5-{size}", f"T5 {size} (2019)", "t5", lambda a=arguments: t5(*a), "T5ForConditionalGeneration",
            published, rounded_to, T5_SOURCE, (2 * arguments[2], arguments[0], arguments[3], 512),
        )
        for size, arguments, published, rounded_to in (
            ("small", (512, 2048, 6, 8), 60_000_000, 1_000_000),
            ("base", (768, 3072, 12, 12), 220_000_000, 5_000_000),
            ("large", (1024, 4096, 24, 16), 770_000_000, 35_000_000),
        )
    ),
    *(
        Entry(
            f"llama-3-{size}", f"Llama 3 {size.upper()}", "llama-3", lambda a=arguments: llama3(*a), "LlamaForCausalLM",
            published, 100_000_000, "arXiv 2407.21783 and the model card: 8.03B, 70.6B",
            (arguments[0], arguments[1], arguments[3], 8192),
        )
        for size, arguments, published in (
            ("8b", (32, 4096, 14336, 32), 8_030_000_000),
            ("70b", (80, 8192, 28672, 64), 70_600_000_000),
        )
    ),
    Entry(
        "mixtral-8x7b", "Mixtral 8x7B: eight experts a layer, two of them used for a token", "mixtral",
        lambda: MixtralForCausalLM(
            MixtralConfig(
                vocab_size=32000, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
                num_attention_heads=32, num_key_value_heads=8, num_local_experts=8, tie_word_embeddings=False,
            )
        ), "MixtralForCausalLM (its experts are rank-3 tensors)",
        46_700_000_000, 100_000_000, "arXiv 2401.04088 and its announcement: 46.7B in total",
    ),
    *(
        Entry(
            f"vit-{size[0]}-16", f"ViT-{size}/16 at 224 pixels", "vit", lambda a=arguments: vit(*a),
            "ViTForImageClassification", published, rounded_to,
            "arXiv 2010.11929, table 1: 86M, 307M with the head of its pre-training; torchvision: 86.57M, 304.33M",
            (arguments[0], arguments[1], arguments[3], 197),
        )
        for size, arguments, published, rounded_to in (
            ("base", (12, 768, 3072, 12), 86_567_656, 1),
            ("large", (24, 1024, 4096, 16), 304_326_632, 1),
        )
    ),
    Entry(
        "resnet-50", "ResNet-50 of 1000 classes", "resnet",
        lambda: ResNetForImageClassification(ResNetConfig(num_labels=1000)), "ResNetForImageClassification",
        25_557_032, 1, "torchvision.models.resnet50: 25,557,032",
    ),
)  # fmt: skip


def table_of(entry: Entry) -> dict[str, Any]:
    """Returns an entry's table."""
    with torch.device("meta"):
        model = entry.make()
    tensors = [
        [name, list(param.shape)] if param.requires_grad else [name, list(param.shape), False]
        for name, param in model.named_parameters()
    ]
    shape = entry.transformer
    return {
        "name": entry.name,
        "title": entry.title,
        "family": entry.family,
        "provenance": f"transformers {transformers.__version__}, {entry.made_by}, on meta; buffers left out",
        "published": {"parameters": entry.published, "rounded_to": entry.rounded_to, "source": entry.source},
        "transformer": shape and dict(zip(("layers", "width", "heads", "context"), shape, strict=True)),
        "blocks": compact(tensors),
    }


def compact(tensors: list[list[Any]]) -> list[dict[str, Any]]:
    """Returns blocks that stand for `tensors`: equal layers in a row become one, with how often it is repeated."""
    layers: list[tuple[str | None, int, list[list[Any]]]] = []
    for name, *rest in tensors:
        found = re.search(r"\.(\d+)\.", name)
        key, number, general = None, 0, name
        if found:
            key, number = name[: found.start()], int(found[1])
            general = f"{key}.#.{name[found.end() :]}"
        if layers and layers[-1][:2] == (key, number):
            layers[-1][2].append([general, *rest])
        else:
            layers.append((key, number, [[general, *rest]]))
    blocks: list[dict[str, Any]] = []
    last: tuple[str | None, list[list[Any]]] | None = None
    for key, number, own in layers:
        if key is not None and last == (key, own) and blocks[-1]["first"] + blocks[-1]["repeat"] == number:
            blocks[-1]["repeat"] += 1
            continue
        blocks.append({"first": number, "repeat": 1, "tensors": own} if key is not None else {"tensors": own})
        last = (key, own)
    return blocks


def as_text(table: dict[str, Any]) -> str:
    """Returns a table as JSON with a line a tensor."""
    head = {key: value for key, value in table.items() if key != "blocks"}
    lines = [json.dumps(head, indent=1)[:-2] + ',\n "blocks": [']
    for block in table["blocks"]:
        prefix = "".join(f'"{key}": {block[key]}, ' for key in ("first", "repeat") if key in block)
        rows = ",\n   ".join(json.dumps(row) for row in block["tensors"])
        lines.append(f'  {{{prefix}"tensors": [\n   {rows}]}},')
    lines[-1] = lines[-1][:-1]
    return "\n".join(lines) + "\n ]\n}\n"


def main() -> int:
    """Writes the tables, or tells which differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a table would change")
    check = parser.parse_args().check
    differing = []
    for entry in ENTRIES:
        text, path = as_text(table_of(entry)), TABLES / f"{entry.name}.json"
        if check and (not path.exists() or path.read_text() != text):
            differing.append(entry.name)
        elif not check:
            path.write_text(text)
    if differing:
        print(f"these tables would change: {', '.join(differing)}")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())

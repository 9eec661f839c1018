"""The `language-model` recipe: a GPT learns to predict the next token of a corpus."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from server.worker.data.registry import CORPORA
from server.worker.data.tokens import Tokens, load_tokens
from server.worker.data.windows import Windows
from server.worker.recipes.base import Batch, Report, Task
from server.worker.recipes.model_gpt import GPTConfig, create_gpt
from sm3.remote.recipe_specs import LanguageModelSpec, num_parameters

VALIDATION_TOKENS = 16_384
"""Held-out tokens predicted in one validation, at least one batch; evenly spread over the held-out text."""


def build(
    spec: LanguageModelSpec, *, seed: int, device: torch.device, cache_dir: Path, report: Report
) -> Task:
    """Make the task; arguments and errors as `server.worker.recipes.base.build` has them."""
    shape, context, batch_size = spec.shape, spec.effective_context, spec.effective_batch_size
    tokens = load_tokens(CORPORA[spec.corpus], vocab=shape.vocab, cache_dir=cache_dir, report=report)
    train = Windows(tokens.train, context)
    held_out = Windows(tokens.held_out, context)
    config = GPTConfig(
        layers=shape.layers,
        width=shape.width,
        heads=shape.heads,
        context=context,
        vocab=shape.vocab,
        tied=spec.tied,
    )

    def train_batch(step: int) -> Batch:
        return _batch(train.shuffled(step, batch_size=batch_size, seed=seed), device)

    def validation() -> Iterable[Batch]:
        chosen = held_out.spread(max(batch_size, VALIDATION_TOKENS // context))
        # Windows that fill no batch are left out, so that the mean over batches is the mean over tokens.
        size = min(batch_size, len(chosen))
        for first in range(0, len(chosen) - size + 1, size):
            yield _batch(held_out.gather(chosen[first : first + size]), device)

    return Task(
        model=create_gpt(config, seed=seed, device=device),
        train_batch=train_batch,
        loss=next_token_loss,
        validation=validation,
        tokens_per_batch=batch_size * context,
        provenance=_provenance(spec, tokens),
    )


def next_token_loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return the mean cross-entropy of the next token, a float32 scalar in nats a token."""
    logits: torch.Tensor = model(batch["inputs"])
    return functional.cross_entropy(logits.flatten(0, 1).float(), batch["targets"].flatten())


def _batch(windows: NDArray[np.int64], device: torch.device) -> Batch:
    """Split windows (B, T+1) into inputs and the targets one token on, (B, T) each."""
    on_device = torch.from_numpy(windows).to(device)
    return {"inputs": on_device[:, :-1].contiguous(), "targets": on_device[:, 1:].contiguous()}


def _provenance(spec: LanguageModelSpec, tokens: Tokens) -> dict[str, str]:
    corpus = tokens.loaded.corpus
    return {
        "corpus": corpus.title,
        "licence": corpus.licence,
        "provenance": corpus.provenance,
        "source": tokens.loaded.source,
        "sha256": tokens.loaded.sha256,
        "documents": f"{len(tokens.loaded.documents):,}",
        "vocabulary": f"{tokens.tokenizer.get_vocab_size():,}",
        "train_tokens": f"{tokens.train.size:,}",
        "held_out_tokens": f"{tokens.held_out.size:,}",
        "parameters": f"{num_parameters(spec):,}",
    }

"""Bodies shown in the OpenAPI; tests launch them."""

from __future__ import annotations

from typing import Any

JOB_EXAMPLES: dict[str, Any] = {
    "default": {
        "summary": "The demo: a small GPT on Python's standard library",
        "value": {"recipe": {"name": "language-model"}, "labels": {"demo": "first-light"}},
    },
    "rows-only": {
        "summary": "Rows only for the embedding, no momentum: a few kilobytes of optimizer state",
        "value": {
            "recipe": {"name": "language-model", "size": "tiny"},
            "optimizer": {
                "name": "sm3",
                "lr": 0.1,
                "momentum": 0.0,
                "rules": [{"match": "*embed*", "cover": {"kind": "slices", "dims": [0]}}],
            },
            "steps": 300,
        },
    },
    "adamw": {
        "summary": "The same training with AdamW, to compare with",
        "value": {
            "recipe": {"name": "language-model", "size": "tiny"},
            "optimizer": {"name": "adamw", "lr": 0.001},
            "schedule": {"warmup": 0.05},
            "steps": 300,
        },
    },
}

COMPARISON_EXAMPLES: dict[str, Any] = {
    "rows-against-slices": {
        "summary": "Does an accumulator for each row alone do as well? Seconds; for an answer, take more steps",
        "value": {
            "base": {
                "recipe": {"name": "language-model", "size": "tiny", "batch_size": 2, "context": 16},
                "steps": 3,
                "record": {"every": 1},
            },
            "variants": [
                {"name": "slices"},
                {"name": "rows", "change": {"optimizer": {"cover": {"kind": "slices", "dims": [0]}}}},
            ],
            "seeds": [0, 1],
            "label": "rows against rows and columns",
        },
    },
}

PATCH_EXAMPLES: dict[str, Any] = {
    "notes": {
        "summary": "A note, and one label",
        "value": {"notes": "the run of figure 3", "labels": {"keep": "yes"}},
    }
}

CLONE_EXAMPLES: dict[str, Any] = {
    "rate": {
        "summary": "The same with another learning rate",
        "value": {"change": {"optimizer": {"lr": 0.05}}},
    },
    "same": {"summary": "The same once more", "value": {}},
}

LEDGER_EXAMPLES: dict[str, Any] = {
    "bert-large": {
        "summary": "BERT-Large under SM3 and AdamW: 1.25 GiB apart",
        "value": {"model": "bert-large", "optimizers": ["sm3", "adamw"]},
    },
    "int8-momentum": {
        "summary": "Llama 3 8B in bf16 with float32 master weights, and what fits on 80 GiB",
        "value": {
            "model": "llama-3-8b",
            "optimizers": [{"name": "sm3", "momentum_dtype": "int8"}, "adamw8bit", "adamw"],
            "weights": "bf16",
            "master_weights": True,
            "fit": {"device_memory_bytes": 85899345920, "sequence_length": 2048},
        },
    },
    "own-tensors": {
        "summary": "A model of your own by its tensors, with rows only for the embedding, tensor by tensor",
        "value": {
            "tensors": [
                {"name": "embed.weight", "shape": [50000, 512]},
                {"name": "out.weight", "shape": [1000, 512], "dtype": "bf16"},
                {"name": "running_mean", "shape": [512], "trainable": False},
            ],
            "optimizers": [
                {
                    "name": "sm3",
                    "momentum": 0.0,
                    "rules": [{"match": "*embed*", "cover": {"kind": "slices", "dims": [0]}}],
                },
                {"name": "sgd", "momentum": 0.0},
            ],
            "per_tensor": True,
        },
    },
}

TOKEN_EXAMPLES: dict[str, Any] = {
    "viewer": {
        "summary": "May look, for a day",
        "value": {"name": "course dashboard", "scope": "view", "expires_in_s": 86_400},
    },
    "launcher": {
        "summary": "May look and launch, until it is revoked",
        "value": {"name": "nightly races", "scope": "launch"},
    },
}

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

"""Bodies shown in the OpenAPI; a test launches each."""

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

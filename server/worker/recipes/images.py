"""The `images` recipe: a small network learns which of ten classes a picture is of."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from server.worker.data.images import Images, LoadedImages
from server.worker.data.load import load_images
from server.worker.data.order import batch_indices
from server.worker.data.registry import IMAGE_SETS
from server.worker.recipes.base import Batch, Report, Task
from server.worker.recipes.model_images import create_classifier
from sm3.remote.recipe_specs import ImagesSpec, num_parameters

MAX_VALIDATION_BATCH = 500
"""The most images in a batch of the validation."""


def build(spec: ImagesSpec, *, seed: int, device: torch.device, cache_dir: Path, report: Report) -> Task:
    """Make the task; arguments and errors as `server.worker.recipes.base.build` has them."""
    loaded = load_images(IMAGE_SETS[spec.dataset], cache_dir=cache_dir, report=report)
    train, held_out = loaded.parts.train, loaded.parts.held_out
    validation_size = even_batch_size(len(held_out), at_most=MAX_VALIDATION_BATCH)

    def train_batch(step: int) -> Batch:
        chosen = batch_indices(step, size=len(train), batch_size=spec.batch_size, seed=seed)
        return _batch(train, np.array(chosen), device)

    def validation() -> Iterable[Batch]:
        for first in range(0, len(held_out), validation_size):
            yield _batch(held_out, np.arange(first, first + validation_size), device)

    return Task(
        model=create_classifier(spec.model, seed=seed, device=device),
        train_batch=train_batch,
        loss=class_loss,
        validation=validation,
        tokens_per_batch=spec.batch_size,
        provenance=_provenance(spec, loaded),
    )


def class_loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return the mean cross-entropy of the class, a float32 scalar in nats an image."""
    logits: torch.Tensor = model(batch["images"])
    return functional.cross_entropy(logits.float(), batch["labels"])


def even_batch_size(total: int, *, at_most: int) -> int:
    """Return the largest batch size that leaves no image over, so that the mean over batches is that over images.

    >>> even_batch_size(10_000, at_most=300)
    250
    """
    return next(size for size in range(min(total, at_most), 0, -1) if total % size == 0)


def _batch(images: Images, chosen: NDArray[np.integer[Any]], device: torch.device) -> Batch:
    """Put images (B, 28, 28), float32 from 0 to 1, and labels (B,), int64, on the device."""
    pixels = torch.from_numpy(images.pixels[chosen]).to(device)
    labels = torch.from_numpy(images.labels[chosen]).to(device)
    return {"images": pixels.float() / 255, "labels": labels.long()}


def _provenance(spec: ImagesSpec, loaded: LoadedImages) -> dict[str, str]:
    return {
        "dataset": loaded.image_set.title,
        "licence": loaded.image_set.licence,
        "provenance": loaded.image_set.provenance,
        "source": loaded.source,
        "sha256": loaded.sha256,
        "train_images": f"{len(loaded.parts.train):,}",
        "held_out_images": f"{len(loaded.parts.held_out):,}",
        "parameters": f"{num_parameters(spec):,}",
    }

"""What every recipe gives the training loop, and the one way to ask for it.

A **task** is all that the loop needs to know of a recipe: the model, its batches, its loss. The loop never
asks which recipe it is running.

The invariant a resumed job rests on: `train_batch` is a pure function of the step (and of the seed and spec
the task was built from), so a job stopped at step k and built again sees at step k what it would have seen.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import torch

from server.worker.data.base import Report as Report
from sm3.remote.recipe_specs import RecipeSpec

Batch: TypeAlias = Mapping[str, torch.Tensor]
"""Named tensors on the task's device; only the recipe's own `loss` knows the names."""


@dataclass(frozen=True)
class Task:
    """A model with its data, ready to train.

    Attributes:
        model: freshly initialised from the seed, on the task's device.
        train_batch: the batch of a 0-based step; pure, so it can be asked for any step in any order.
        loss: mean loss of a model on a batch, a scalar in nats a token; for images, in nats an image.
        validation: the held-out batches, the same ones every time.
        tokens_per_batch: tokens predicted in one training batch; of images, each counts as one token.
        provenance: what was trained on, for people to read: its title, licence, source, digest, sizes.
    """

    model: torch.nn.Module
    train_batch: Callable[[int], Batch]
    loss: Callable[[torch.nn.Module, Batch], torch.Tensor]
    validation: Callable[[], Iterable[Batch]]
    tokens_per_batch: int
    provenance: Mapping[str, str]


Spec_contra = TypeVar("Spec_contra", contravariant=True)


class Builder(Protocol[Spec_contra]):
    """How a recipe's file makes its task from its own kind of spec; the arguments are those of `build`."""

    def __call__(
        self, spec: Spec_contra, *, seed: int, device: torch.device, cache_dir: Path, report: Report
    ) -> Task:
        """Return the task of a spec."""


def build(spec: RecipeSpec, *, seed: int, device: torch.device, cache_dir: Path, report: Report) -> Task:
    """Make the task a spec asks for.

    Args:
        spec: the recipe with its options.
        seed: decides the initial weights and the order of the data, and nothing else does.
        device: where the model and its batches live.
        cache_dir: where corpora, tokens and images are kept between jobs; made if missing, safe for workers to share.
        report: told, in one line each, of steps that take seconds.

    Returns:
        The task.

    Raises:
        DataUnavailableError: no source of the recipe's data could be read; it names each one tried.
        ValueError: the data is too little for the batch or context asked for.
    """
    from server.worker.recipes.registry import RECIPES  # here, because the recipes import this module

    return RECIPES[spec.name](spec, seed=seed, device=device, cache_dir=cache_dir, report=report)

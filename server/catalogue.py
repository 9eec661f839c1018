"""What can be launched, described for people and forms. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from server.worker.data.base import Corpus
from server.worker.data.images import ImageSet
from server.worker.data.registry import CORPORA, IMAGE_SETS
from sm3.probes import PROBES, describe
from sm3.remote.recipe_specs import (
    IMAGE_MODELS,
    SIZES,
    CorpusName,
    ImageSetName,
    ImagesSpec,
    LanguageModelSpec,
    num_parameters,
)
from sm3.remote.record_specs import DEFAULT_PROBES
from sm3.remote.wire import RecipeView, StatisticView


def recipe_views() -> tuple[RecipeView, ...]:
    """Returns every recipe with its sizes, and its data with licence and provenance."""
    return (
        RecipeView(
            name="language-model",
            summary="A small GPT that learns to predict the next piece of a text; loss in nats a token.",
            json_schema=LanguageModelSpec.model_json_schema(),
            sizes={
                size.value: asdict(info)
                | {"parameters": num_parameters(LanguageModelSpec(name="language-model", size=size))}
                for size, info in SIZES.items()
            },
            data=_described(CORPORA),
        ),
        RecipeView(
            name="images",
            summary="A small classifier of 28x28 grey images in ten classes; loss in nats an image.",
            json_schema=ImagesSpec.model_json_schema(),
            sizes={
                model.value: {
                    "described": described,
                    "parameters": num_parameters(ImagesSpec(name="images", model=model)),
                }
                for model, described in IMAGE_MODELS.items()
            },
            data=_described(IMAGE_SETS),
        ),
    )


def _described(
    declared: Mapping[CorpusName, Corpus] | Mapping[ImageSetName, ImageSet],
) -> dict[str, dict[str, str]]:
    """Returns title, licence and provenance of each, by its name."""
    return {
        name.value: {"title": data.title, "licence": data.licence, "provenance": data.provenance}
        for name, data in declared.items()
    }


_ALWAYS = (
    ("loss", "The training loss of every step.", "nats a token or an image"),
    (
        "val_loss",
        "The loss on held-out data; `val_loss_averaged` that of the averaged parameters.",
        "the same",
    ),
    ("lr", "The learning rate of the step, after the schedule.", "parameter units per unit of step"),
    ("grad_norm", "The Euclidean norm of all dense gradients together.", "gradient"),
    ("step_s", "Mean time of a step since the last frame; `tokens_per_s` is what follows.", "seconds"),
    (
        "forward_s, backward_s, optimizer_s, probe_s",
        "Where that time goes. On CUDA measured at the steps of frames only, for the clock waits for the device.",
        "seconds a step",
    ),
    (
        "memory_state_bytes, memory_rss_bytes, memory_peak_rss_bytes",
        "What the optimizer's tensors hold, what the worker has resident, and the most it has had. On CUDA also what "
        "torch's allocator tells: memory_cuda_allocated_bytes, memory_cuda_peak_bytes, memory_cuda_reserved_bytes.",
        "bytes",
    ),
)


def statistic_views() -> tuple[StatisticView, ...]:
    """Returns every statistic: probes by the names a job asks for, then the series that every job has."""
    probes = [
        StatisticView(**asdict(describe(probe)), default=name in DEFAULT_PROBES, of_shadows=probe.of_shadows)
        for name, probe in PROBES.items()
    ]
    always = [
        StatisticView(
            name=name,
            meaning=meaning,
            kind="series of the job",
            unit=unit,
            cost="none to speak of",
            memory="none",
            default=True,
            of_shadows=False,
        )
        for name, meaning, unit in _ALWAYS
    ]
    return (*probes, *always)

"""The advisor in a job: a copy of the model trains a few steps under slices; covers are chosen by what it saw."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

import torch

from server.worker.optimizers import build_optimizer, build_schedule
from server.worker.recipes.base import Batch
from sm3.advisor.advise import Advice, advise
from sm3.remote.job_specs import JobSpec
from sm3.remote.optimizer_specs import AdviseSpec, Sm3Spec
from sm3.remote.wire import AdvisedTensor

LossOf = Callable[[torch.nn.Module, Batch], torch.Tensor]


def advised(
    spec: JobSpec,
    model: torch.nn.Module,
    train_batch: Callable[[int], Batch],
    loss_of: LossOf,
    go_on: Callable[[], bool],
) -> Advice | None:
    """Returns the covers for a job that leaves them to the advisor; None for any other job.

    The model is not touched, nor the random state: training starts where it would have without. Takes a second copy
    of the parameters and the accumulators of all candidates, until it returns.

    Args:
        spec: the job.
        model: freshly initialised.
        train_batch: the batch of a 0-based step.
        loss_of: the loss of a model on a batch, under the job's precision.
        go_on: whether nobody has asked to stop; asked after each step.
    """
    asked = spec.optimizer.cover if isinstance(spec.optimizer, Sm3Spec) else None
    if not isinstance(spec.optimizer, Sm3Spec) or not isinstance(asked, AdviseSpec) or not go_on():
        return None
    twin = copy.deepcopy(model)
    ruled = [rule.match for rule in spec.optimizer.rules]
    free = {
        name: param
        for name, param in twin.named_parameters()
        if not any(fnmatchcase(name, glob) for glob in ruled)
    }
    optimizer = build_optimizer(spec.optimizer, twin)
    schedule = build_schedule(spec.schedule, optimizer, steps=spec.steps)

    def warm_up() -> Iterator[None]:
        for step in range(min(asked.steps, spec.steps)):
            loss_of(twin, train_batch(step)).backward()  # type: ignore[no-untyped-call]
            yield None
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            if not go_on():  # after a step at least, so that there is something to go by
                return

    with torch.random.fork_rng(devices=[] if not torch.cuda.is_available() else None):
        return advise(
            free,
            warm_up(),
            budget_bytes=asked.budget_bytes,
            objective=asked.objective,
            variant=spec.optimizer.variant,
            beta2=spec.optimizer.beta2,
            seed=spec.seed,
        )


def in_words(advice: Advice) -> tuple[AdvisedTensor, ...]:
    """Returns what was advised for each tensor, as the manifest tells it."""
    return tuple(
        AdvisedTensor(
            name=choice.name,
            cover=choice.cover.spec().model_dump(mode="json", exclude_none=True),
            num_bytes=choice.num_bytes,
            expected={part: value for part, value in choice.expected.items() if value == value},
        )
        for choice in advice.choices
    )

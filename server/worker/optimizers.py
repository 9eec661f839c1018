"""From a spec to an optimizer and its schedule."""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape

import torch

from sm3.covers import from_spec
from sm3.optimizer import SM3
from sm3.remote.job_specs import ScheduleSpec
from sm3.remote.optimizer_specs import (
    AdafactorSpec,
    AdagradSpec,
    AdamWSpec,
    AdviseSpec,
    OptimizerSpec,
    SgdSpec,
    Sm3Spec,
)
from sm3.remote.wire import AdvisedTensor
from sm3.schedules import WarmupCooldown


def build_optimizer(
    spec: OptimizerSpec, model: torch.nn.Module, *, advice: Sequence[AdvisedTensor] = ()
) -> torch.optim.Optimizer:
    """Returns the optimizer that ``spec`` describes over all of ``model``'s parameters, by name.

    Args:
        spec: the optimizer and its settings.
        model: what it trains.
        advice: the covers to take where ``spec`` leaves them to the advisor.
    """
    parameters = list(model.named_parameters())
    match spec:
        case Sm3Spec():
            return SM3(
                parameters,
                lr=spec.lr,
                momentum=spec.momentum,
                momentum_dtype=spec.momentum_dtype,
                variant=spec.variant,
                beta2=spec.beta2,
                weight_decay=spec.weight_decay,
                cover=None if isinstance(spec.cover, AdviseSpec) else spec.cover,
                rules=[*spec.rules, *((escape(chosen.name), from_spec(chosen.cover)) for chosen in advice)],
            )
        case AdamWSpec():
            return torch.optim.AdamW(
                parameters, lr=spec.lr, betas=(spec.beta1, spec.beta2), weight_decay=spec.weight_decay
            )
        case AdagradSpec():
            return torch.optim.Adagrad(parameters, lr=spec.lr, eps=spec.eps)
        case AdafactorSpec():
            return torch.optim.Adafactor(
                parameters,
                lr=spec.lr,
                beta2_decay=spec.beta2_decay,
                d=spec.clip,
                weight_decay=spec.weight_decay,
            )
        case SgdSpec():
            return torch.optim.SGD(
                parameters, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay
            )


def build_schedule(spec: ScheduleSpec, optimizer: torch.optim.Optimizer, *, steps: int) -> WarmupCooldown:
    """Returns the learning-rate schedule that ``spec`` describes for a run of ``steps`` steps."""
    return WarmupCooldown(
        optimizer, total_steps=steps, warmup=spec.warmup, power=spec.power, cooldown=spec.cooldown
    )

"""Warm-up and cool-down as one learning-rate schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.optim.lr_scheduler import LambdaLR

if TYPE_CHECKING:
    from torch.optim import Optimizer


class WarmupCooldown(LambdaLR):
    """Rises as `lr·min(1, (t/T0)^power)`, stays, then falls linearly to 0 over the last fraction of steps.

    Step t = 1 is the first; call `step()` after each `optimizer.step()`, as with any scheduler. SM3's
    accumulators only grow, so its own step shrinks like 1/√t: a warm-up guards the first steps, when they are
    still small, and short runs want a long one (0.5). The cool-down ends a run as averaging would, without
    its memory.

    Args:
        optimizer: Any; the learning rates its groups have now are the plateau.
        total_steps: Steps of the whole run, ≥ 1. Beyond them the last value stays.
        warmup: T0 as a fraction of `total_steps`, in [0, 1].
        power: Exponent of the rise, > 0.
        cooldown: Fraction of `total_steps` spent falling, in [0, 1 − warmup].
        last_epoch: As in torch: −1 to start, or the number of steps done when resuming.

    Raises:
        ValueError: An argument is out of its range.

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = WarmupCooldown(sgd, total_steps=8, warmup=0.5, power=1, cooldown=0.25)
    >>> [schedule.factor(t) for t in range(1, 9)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warmup: float = 0.05,
        power: float = 2.0,
        cooldown: float = 0.0,
        *,
        last_epoch: int = -1,
    ) -> None:
        if total_steps < 1:
            raise ValueError(f"total_steps={total_steps}; allowed: ≥ 1")
        if not 0 <= warmup <= 1:
            raise ValueError(f"warmup={warmup}; allowed: a fraction of total_steps, 0 ≤ warmup ≤ 1")
        if not power > 0:
            raise ValueError(f"power={power}; allowed: > 0, so that the warm-up rises")
        if not 0 <= cooldown <= 1:
            raise ValueError(f"cooldown={cooldown}; allowed: a fraction of total_steps, 0 ≤ cooldown ≤ 1")
        if warmup + cooldown > 1 + 1e-9:
            raise ValueError(
                f"warmup={warmup} and cooldown={cooldown} overlap; allowed: warmup + cooldown ≤ 1"
            )
        self.total_steps = total_steps
        self.warmup = warmup
        self.power = power
        self.cooldown = cooldown
        super().__init__(optimizer, lambda done: self.factor(done + 1), last_epoch)

    def factor(self, t: int) -> float:
        """The learning rate of step `t` (1 is the first) as a share of the plateau, in [0, 1]."""
        return factor(
            t,
            total_steps=self.total_steps,
            warmup=self.warmup,
            power=self.power,
            cooldown=self.cooldown,
        )


def factor(t: int, *, total_steps: int, warmup: float, power: float, cooldown: float) -> float:
    """The learning rate of step `t` (1 is the first) as a share of the plateau; `WarmupCooldown` tells the arguments.

    >>> factor(2, total_steps=8, warmup=0.5, power=2, cooldown=0.0)
    0.25
    """
    t = min(t, total_steps)
    rise = fall = 1.0
    if warmup > 0:
        rise = min(1.0, t / (warmup * total_steps)) ** power
    if cooldown > 0:
        fall = min(1.0, (total_steps - t) / (cooldown * total_steps))
    return min(rise, fall)

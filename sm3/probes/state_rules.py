"""What each optimizer keeps for a parameter, by the keys of its state: one rule an optimizer.

Second moment: the number an optimizer keeps for each entry of a gradient and divides the gradient by the root of,
without the eps it adds to that root. AdaGrad's is Σ g², Adam's and Adafactor's a moving average of g².
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from sm3.optimizer import SM3

State = Mapping[str, Any]
Group = Mapping[str, Any]


@dataclass(frozen=True)
class StateRule:
    """How to read one optimizer's state.

    Attributes:
        optimizer: the class the rule is for, and those derived from it.
        accumulators: patterns of the keys that hold what the second moment is made of.
        momentum: patterns of the keys that hold momentum.
        second_moment: (a parameter's state, its group) to its second moment, of the parameter's shape; None
            where there is none, or where covers tell it.
    """

    optimizer: type[torch.optim.Optimizer]
    accumulators: tuple[str, ...] = ()
    momentum: tuple[str, ...] = ()
    second_moment: Callable[[State, Group], Tensor] | None = None

    def accumulator_bytes(self, state: State) -> int:
        """Returns the bytes of a parameter's accumulators, measured on its state."""
        return _bytes(state, self.accumulators)

    def momentum_bytes(self, state: State) -> int:
        """Returns the bytes of a parameter's momentum, measured on its state."""
        return _bytes(state, self.momentum)


def adagrad_second_moment(state: State, _: Group) -> Tensor:
    """Returns Σ g² of every entry: the state itself, not a copy (Duchi et al. 2011, JMLR 12, figure 1)."""
    total: Tensor = state["sum"]
    return total


def adam_second_moment(state: State, group: Group) -> Tensor:
    """Returns v/(1 − β₂ᵗ) of every entry (arXiv 1412.6980, Algorithm 1); under amsgrad, of the largest v so far.

    Adds as many floats as the parameter has entries.
    """
    v: Tensor = state.get("max_exp_avg_sq", state["exp_avg_sq"])
    step: Tensor = state["step"]
    return v / (1 - float(group["betas"][1]) ** step.double()).to(v.device)


def adafactor_second_moment(state: State, group: Group) -> Tensor:
    """Returns the estimate that torch's Adafactor divides by (arXiv 1804.04235, Algorithm 4).

    Of a matrix r·c/mean(r), of its row and column means r and c, mean(r) being at least eps₁ as in torch; of a
    vector its moving average, the state itself. Of rank 3 and more, each matrix of the last two dims is one.
    For a matrix, adds as many floats as the parameter has entries, which Adafactor itself does at each step.
    """
    if "variance" in state:
        variance: Tensor = state["variance"]
        return variance
    row: Tensor = state["row_var"]
    column: Tensor = state["col_var"]
    eps1 = group["eps"][0]
    floor = torch.finfo(row.dtype).eps if eps1 is None else eps1
    return (row @ column).div_(row.mean(dim=-2, keepdim=True).clamp_(min=floor))


RULES: tuple[StateRule, ...] = (
    StateRule(SM3, accumulators=("accumulator_*",), momentum=("momentum", "momentum_scale")),
    StateRule(
        torch.optim.Adam,  # AdamW is derived from it
        accumulators=("exp_avg_sq", "max_exp_avg_sq"),
        momentum=("exp_avg",),
        second_moment=adam_second_moment,
    ),
    StateRule(torch.optim.Adagrad, accumulators=("sum",), second_moment=adagrad_second_moment),
    StateRule(
        torch.optim.Adafactor,
        accumulators=("row_var", "col_var", "variance"),
        second_moment=adafactor_second_moment,
    ),
    StateRule(torch.optim.SGD, momentum=("momentum_buffer",)),
)


def rule_of(optimizer: torch.optim.Optimizer) -> StateRule:
    """Returns the rule for an optimizer; for one that is not listed, a rule that knows nothing of its state."""
    found = next((rule for rule in RULES if isinstance(optimizer, rule.optimizer)), None)
    return found or StateRule(type(optimizer))


def _bytes(state: State, patterns: tuple[str, ...]) -> int:
    return sum(
        value.nbytes
        for key, value in state.items()
        if isinstance(value, Tensor) and any(fnmatchcase(key, pattern) for pattern in patterns)
    )

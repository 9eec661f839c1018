"""One parameter group's settings: checked once when given, read as values at each step."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import torch

from sm3.covers import Cover, CoverPolicy, Slices, from_spec
from sm3.kernels import KERNELS, StepOptions
from sm3.kernels.momentum import MomentumDtype
from sm3.update import Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torch import Tensor

    from sm3.remote.cover_specs import CoverRule, CoverSpec

    CoverLike = Cover | CoverSpec | Mapping[str, Any] | str
    RuleLike = tuple[str, CoverLike] | CoverRule

NONFINITE = ("raise", "skip", "propagate")


def policy_of(cover: CoverLike | None, rules: Iterable[RuleLike]) -> CoverPolicy:
    """The optimizer's policy: `cover` for rank ≥ 2 (None means slices), singletons below, rules before both."""
    return CoverPolicy(default=Slices() if cover is None else as_cover(cover), rules=as_rules(rules))


def narrowed(policy: CoverPolicy, cover: CoverLike | None, rules: Iterable[RuleLike] | None) -> CoverPolicy:
    """A group's policy: its own cover serves all its ranks, its own rules replace the optimizer's."""
    own = None if cover is None else as_cover(cover)
    return CoverPolicy(
        default=own or policy.default,
        rules=policy.rules if rules is None else as_rules(rules),
        vectors=own or policy.vectors,
    )


def as_cover(cover: CoverLike) -> Cover:
    """A cover from itself, its spec, its JSON object or its kind."""
    return cover if isinstance(cover, Cover) else from_spec(cover)


def as_rules(rules: Iterable[RuleLike]) -> tuple[tuple[str, Cover], ...]:
    """Rules as `(glob, cover)`, from pairs or from `CoverRule`s."""
    pairs = [rule if isinstance(rule, tuple | list) else (rule.match, rule.cover) for rule in rules]
    return tuple((match, as_cover(cover)) for match, cover in pairs)


def named(group: Mapping[str, Any], index: int) -> Iterator[tuple[str, Tensor]]:
    """Names and parameters of the group numbered `index`; "index.position" where no names were given."""
    names = group.get("param_names") or [f"{index}.{k}" for k in range(len(group["params"]))]
    return zip(names, group["params"], strict=True)


def options_of(group: Mapping[str, Any]) -> StepOptions:
    """The group's hyperparameters as they are now."""
    return StepOptions(
        lr=group["lr"],
        momentum=group["momentum"],
        momentum_dtype=MomentumDtype(group["momentum_dtype"]),
        variant=Variant(group["variant"]),
        beta2=group["beta2"],
        weight_decay=group["weight_decay"],
        maximize=group["maximize"],
    )


def require_valid(group: Mapping[str, Any]) -> None:
    """Check a group's settings.

    Raises:
        ValueError: One is out of range; the message says what was given and what is allowed.
    """
    lr = group["lr"]
    if isinstance(lr, torch.Tensor) and lr.numel() != 1:
        raise ValueError(
            f"lr is a tensor of shape {tuple(lr.shape)}; allowed: a float or a tensor of one number"
        )
    if not (float(lr) >= 0 and isfinite(lr)):
        raise ValueError(f"lr={float(lr)}; allowed: finite and ≥ 0")
    if not 0 <= group["momentum"] < 1:
        raise ValueError(f"momentum={group['momentum']}; allowed: 0 ≤ momentum < 1")
    if group["beta2"] is not None and not 0 <= group["beta2"] < 1:
        raise ValueError(f"beta2={group['beta2']}; allowed: None for sums, or 0 ≤ beta2 < 1")
    if not (group["weight_decay"] >= 0 and isfinite(group["weight_decay"])):
        raise ValueError(f"weight_decay={group['weight_decay']}; allowed: finite and ≥ 0")
    for key, allowed in (
        ("variant", list(Variant)),
        ("momentum_dtype", list(MomentumDtype)),
        ("nonfinite", NONFINITE),
        ("kernel", ("auto", *KERNELS)),
    ):
        if group[key] not in allowed:
            raise ValueError(f"{key}={group[key]!r}; allowed: {', '.join(repr(str(a)) for a in allowed)}")


def require_real(name: str, param: Tensor) -> None:
    """Check that a parameter can be stepped.

    Raises:
        TypeError: It is complex or not floating point.
    """
    if not param.is_floating_point():
        remedy = "; step torch.view_as_real(p) instead" if param.is_complex() else ""
        raise TypeError(f"parameter {name!r} is {param.dtype}; SM3 steps real floating-point tensors{remedy}")

"""Measures on the first gradients what each candidate cover would do to each tensor, and chooses within a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sm3.advisor.candidates import CANDIDATES, bytes_of, candidates_for, require_budget
from sm3.advisor.knapsack import Option, choose
from sm3.advisor.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from sm3.covers import Cover, Singletons, Slices
from sm3.probes.sampled import SAMPLE_ENTRIES, SampledTruth
from sm3.probes.tightness import summary
from sm3.shadow import Room, Shadow

if TYPE_CHECKING:
    WarmUp = Iterable[Mapping[str, Tensor] | None]


@dataclass(frozen=True)
class Choice:
    """What is advised for one tensor.

    Attributes:
        name: the parameter's name.
        shape: its shape.
        cover: its cover.
        num_bytes: of accumulators.
        expected: tightness in bits as measured on the warm-up, estimated from a sample: ``level``, ``spread``,
            ``p99``, … as in `sm3.probes.tightness.summary`; zeros for singletons.
    """

    name: str
    shape: tuple[int, ...]
    cover: Cover
    num_bytes: int
    expected: Mapping[str, float]


@dataclass(frozen=True)
class Advice:
    """Covers for all tensors of a model.

    Attributes:
        choices: one a tensor, in the model's order.
        budget_bytes: what they had to stay within.
        objective: what was minimised: a key of `sm3.advisor.objectives.OBJECTIVES`.
        cost: its value for these choices.
        slices_bytes: what slices (singletons where these keep fewer numbers) take for the same tensors.
        slices_cost: the objective under slices.
        steps: gradients it is based on.
    """

    choices: tuple[Choice, ...]
    budget_bytes: int
    objective: str
    cost: float
    slices_bytes: int
    slices_cost: float
    steps: int

    @property
    def num_bytes(self) -> int:
        """Bytes of accumulators of all choices."""
        return sum(choice.num_bytes for choice in self.choices)

    @property
    def rules(self) -> tuple[tuple[str, Cover], ...]:
        """For `SM3(…, rules=advice.rules)`: each name, with what a glob would read into it escaped."""
        return tuple((escape(choice.name), choice.cover) for choice in self.choices)


def advise(
    model: torch.nn.Module | Mapping[str, Tensor],
    warm_up: WarmUp,
    *,
    budget_bytes: int,
    objective: str = DEFAULT_OBJECTIVE,
    candidates: Sequence[Cover] = CANDIDATES,
    variant: str = "II",
    beta2: float | None = None,
    sample_entries: int = SAMPLE_ENTRIES,
    seed: int = 0,
) -> Advice:
    """Returns the covers that minimise the objective within a budget, as measured on a few gradients.

    Each candidate's accumulators are driven by the same gradients as shadows (see `sm3.shadow`), each tensor's
    tightness is read against AdaGrad's exact accumulators of a sample of entries, and one cover a tensor is chosen
    by a knapsack: the optimum for the model sizes the frontier can hold, and never worse than slices where these fit
    the budget. Parameters are not written. Adds, until it returns, the accumulators of all candidates but singletons,
    and room as large as the largest tensor.

    Args:
        model: a module, or name to parameter.
        warm_up: for each step either a mapping of names to gradients, or None once ``.grad`` holds them; a generator
            that trains a copy of the model and yields None after each ``backward()`` serves.
        budget_bytes: the most that accumulators of all tensors may take.
        objective: what is minimised.
        candidates: covers considered for tensors of rank 2 and more.
        variant: "II" or "I".
        beta2: decay of the accumulators; None for sums.
        sample_entries: entries a tensor whose exact accumulators are kept.
        seed: decides the sample.

    Raises:
        ValueError: the budget is below the least possible, the objective is not known, a gradient's name or shape is
            not the model's, or the warm-up yields nothing.

    >>> import torch
    >>> from sm3 import SM3, advise
    >>> model = torch.nn.Linear(6, 4)
    >>> gradients = [{"weight": torch.randn(4, 6), "bias": torch.randn(4)} for _ in range(3)]
    >>> advice = advise(model, gradients, budget_bytes=64)
    >>> advice.num_bytes <= 64
    True
    >>> optimizer = SM3(model.named_parameters(), lr=0.1, rules=advice.rules)
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective {objective!r}; allowed: {', '.join(OBJECTIVES)}")
    params = dict(model.named_parameters()) if isinstance(model, torch.nn.Module) else dict(model)
    shapes = {name: tuple(param.shape) for name, param in params.items()}
    options = {name: candidates_for(shape, candidates) for name, shape in shapes.items()}
    require_budget(shapes, budget_bytes, candidates)
    measured = _measure(
        params, options, warm_up, variant=variant, beta2=beta2, sample_entries=sample_entries, seed=seed
    )
    cost = OBJECTIVES[objective]
    names = list(shapes)
    costs = {
        name: [cost(prod(shapes[name]), measured.expected[name, k]) for k in range(len(options[name]))]
        for name in names
    }
    table = [
        [Option(bytes_of(c, shapes[name]), costs[name][k]) for k, c in enumerate(options[name])]
        for name in names
    ]
    slices = _slices(names, shapes, options)
    chosen = choose(table, budget_bytes)
    if (
        slices is not None
        and _bytes(table, slices) <= budget_bytes
        and _cost(table, slices) < _cost(table, chosen)
    ):
        chosen = slices
    return Advice(
        choices=tuple(
            Choice(name, shapes[name], options[name][k], table[i][k].num_bytes, measured.expected[name, k])
            for i, (name, k) in enumerate(zip(names, chosen, strict=True))
        ),
        budget_bytes=budget_bytes,
        objective=objective,
        cost=_cost(table, chosen),
        slices_bytes=_bytes(table, slices) if slices is not None else 0,
        slices_cost=_cost(table, slices) if slices is not None else float("nan"),
        steps=measured.steps,
    )


@dataclass(frozen=True)
class _Measured:
    expected: dict[tuple[str, int], Mapping[str, float]]
    steps: int


def _measure(
    params: Mapping[str, Tensor],
    options: Mapping[str, Sequence[Cover]],
    warm_up: WarmUp,
    *,
    variant: str,
    beta2: float | None,
    sample_entries: int,
    seed: int,
) -> _Measured:
    """The tightness of every option of every tensor after the warm-up."""
    decay, room = dict.fromkeys(params, beta2), Room(params.values())
    covers = {cover for of_tensor in options.values() for cover in of_tensor if cover != Singletons()}
    shadows = {
        cover: Shadow(served, cover, variant=variant, beta2=decay, room=room)
        for cover in covers
        if (
            served := {
                name: param for name, param in params.items() if param.numel() and cover in options[name]
            }
        )
    }
    sample = SampledTruth(params, beta2=decay, entries=sample_entries, seed=seed)
    steps = 0
    for gradients in warm_up:
        with _Held(params, gradients):
            for shadow in shadows.values():
                shadow.observe()
            sample.observe()
        steps += 1
    if steps == 0:
        raise ValueError("the warm-up yielded no gradients; give those of at least one step")
    expected: dict[tuple[str, int], Mapping[str, float]] = {}
    held = {cover: shadow.held() for cover, shadow in shadows.items()}
    for name, of_tensor in options.items():
        gamma = sample.gamma(name).cpu().numpy() if name in sample.places else None
        for k, cover in enumerate(of_tensor):
            nu = gamma
            if gamma is not None and cover in shadows:
                seen, mu = held[cover][name]
                nu = seen.bound_at(mu, tuple(params[name].shape), sample.places[name]).cpu().numpy()
            whole = gamma is not None and sample.is_whole(name)
            expected[name, k] = (
                summary(nu, gamma, is_whole=whole) if nu is not None and gamma is not None else {}
            )
    return _Measured(expected, steps)


class _Held:
    """Puts given gradients in place of the parameters' own for a while; None leaves those there."""

    def __init__(self, params: Mapping[str, Tensor], gradients: Mapping[str, Tensor] | None) -> None:
        self._params, self._gradients = params, gradients
        for name, gradient in (gradients or {}).items():
            if name not in params or gradient.shape != params[name].shape:
                given = f"a gradient {name!r} of shape {tuple(gradient.shape)}"
                known = ", ".join(f"{n!r} {tuple(p.shape)}" for n, p in list(params.items())[:6])
                raise ValueError(f"{given} fits no parameter; there are {known}")

    def __enter__(self) -> None:
        self._own = {name: param.grad for name, param in self._params.items()}
        if self._gradients is not None:
            for name, param in self._params.items():
                gradient = self._gradients.get(name)
                param.grad = None if gradient is None else gradient.to(param.device, param.dtype)

    def __exit__(self, *_: object) -> None:
        for name, param in self._params.items():
            param.grad = self._own[name]


def _slices(
    names: Sequence[str], shapes: Mapping[str, tuple[int, ...]], options: Mapping[str, Sequence[Cover]]
) -> list[int] | None:
    """The options that slices would take; None where some tensor has no such option.

    Singletons stand for them in vectors, and where slices keep no fewer numbers, as in a matrix of one column.
    """
    found = []
    for name in names:
        own = options[name]
        wanted: Cover = Slices() if Slices() in own else Singletons()
        if wanted not in own:
            return None
        found.append(own.index(wanted))
    return found


def _bytes(table: Sequence[Sequence[Option]], chosen: Sequence[int]) -> int:
    return sum(options[k].num_bytes for options, k in zip(table, chosen, strict=True))


def _cost(table: Sequence[Sequence[Option]], chosen: Sequence[int]) -> float:
    return sum(options[k].cost for options, k in zip(table, chosen, strict=True))

"""Follows an optimizer step by step and runs the probes that are due; one copy brings what they read to the host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from sm3.covers import Singletons, from_spec
from sm3.optimizer import SM3
from sm3.probes.base import Probe, Reading, Watched
from sm3.probes.cadence import Cadence, Every, Geometric
from sm3.probes.checks import record_faults
from sm3.probes.host import Arrays, Values, finished
from sm3.probes.registry import PROBES
from sm3.probes.sampled import SampledTruth
from sm3.probes.tracking import Tracked, tracked
from sm3.remote.record_specs import ProbeName, ProbeSettings, RecordSpec, ShadowSpec, label_of
from sm3.shadow import Room, Shadow, WholeTruth


@dataclass(frozen=True)
class _Scheduled:
    probe: Probe
    cadence: Cadence
    tensors: tuple[str, ...]

    @property
    def looks_before(self) -> bool:
        return type(self.probe).before is not Probe.before

    def chosen(self, tensors: Sequence[Tracked]) -> list[Tracked]:
        if self.tensors == ("*",):
            return list(tensors)
        return [t for t in tensors if _matches(t.name, self.tensors)]


class Recorder:
    """Reads an optimizer as a :class:`~sm3.remote.record_specs.RecordSpec` asks.

    Around each step: :meth:`before`, the step, :meth:`observe`, and where :meth:`is_due`, :meth:`read`. The optimizer
    is never changed: training is bit for bit what it would be without.

    Args:
        optimizer: SM3, or any other (of which probes report what has a meaning).
        spec: what to record.
        seed: decides which entries are sampled.

    Raises:
        ValueError: the spec does not fit the optimizer's tensors, two of them share a name, or exact sums are wanted
            of an optimizer that has stepped already; every fault is named.

    >>> import torch
    >>> from sm3 import SM3
    >>> model = torch.nn.Linear(3, 2)
    >>> optimizer = SM3(model.named_parameters(), lr=0.1)
    >>> recorder = Recorder(optimizer, RecordSpec(probes=("tightness",)))
    >>> model(torch.ones(5, 3)).sum().backward()
    >>> recorder.before(1); optimizer.step(); recorder.observe()
    >>> arrays, scalars = recorder.read(1, lrs=[0.1])
    >>> scalars["tightness_level/weight"]
    0.0
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, spec: RecordSpec | None = None, *, seed: int = 0
    ) -> None:
        self.optimizer = optimizer
        self.spec = spec = spec or RecordSpec()
        first = list(tracked(optimizer, self._no_lrs()))
        _require_fit(spec, first)
        params = {t.name: p for t, p in zip(first, _parameters(optimizer), strict=True)}
        beta2 = {t.name: t.beta2 for t in first if t.beta2 is not None}
        self._room = Room(
            param
            for name, param in params.items()
            if _matches(name, spec.truth) or any(_follows(shadow, name, param) for shadow in spec.shadows)
        )
        self.shadows = tuple(
            Shadow(
                {name: param for name, param in params.items() if _follows(shadow, name, param)},
                from_spec(shadow.cover),
                variant=shadow.variant,
                beta2=beta2,
                label=label_of(shadow),
                room=self._room,
            )
            for shadow in spec.shadows
        )
        truth = None
        if spec.truth:
            limit_bytes = spec.truth_limit_bytes
            truth = WholeTruth(params, spec.truth, limit_bytes=limit_bytes, beta2=beta2, room=self._room)
        sums = isinstance(optimizer, SM3 | torch.optim.Adagrad)
        self._watched = Watched(self._sample(first, params, beta2, seed), truth, own_is_comparable=sums)
        self._probes = [self._scheduled(name) for name in spec.probes]
        self._skipped = getattr(optimizer, "skipped_steps", 0)

    def _sample(
        self,
        first: Sequence[Tracked],
        params: Mapping[str, Tensor],
        beta2: Mapping[str, float | None],
        seed: int,
    ) -> SampledTruth | None:
        """A sample of every tensor that the optimizer or a shadow holds fewer numbers for than AdaGrad would."""
        if not self.spec.sample_entries or ProbeName.TIGHTNESS not in self.spec.probes:
            return None
        loose = [shadow for shadow in self.shadows if shadow.cover != Singletons()]
        chosen = {
            t.name: params[t.name]
            for t in first
            if (isinstance(self.optimizer, SM3) and t.cover != Singletons())
            or any(t.name in shadow for shadow in loose)
        }
        return SampledTruth(chosen, beta2=beta2, entries=self.spec.sample_entries, seed=seed)

    def _scheduled(self, name: ProbeName) -> _Scheduled:
        settings = self.spec.probe_settings.get(name, ProbeSettings())
        every = settings.every if settings.every is not None else self.spec.every
        cadence: Cadence = Geometric() if every == "geometric" else Every(every)
        return _Scheduled(PROBES[name](self._watched, settings), cadence, settings.tensors)

    def is_due(self, step: int) -> bool:
        """Whether any probe, or the frame itself, is due after ``step`` steps."""
        return Every(self.spec.every).is_due(step) or any(s.cadence.is_due(step) for s in self._probes)

    def before(self, step: int, *, everything: bool = False) -> None:
        """Lets the probes that will be read after ``step`` (all of them if ``everything``) look at what it changes."""
        due = [s for s in self._probes if (everything or s.cadence.is_due(step)) and s.looks_before]
        if not due:
            return
        with torch.no_grad():
            tensors = list(tracked(self.optimizer, self._no_lrs()))
            for scheduled in due:
                scheduled.probe.before(scheduled.chosen(tensors))

    def observe(self) -> None:
        """Takes the gradients of the step just done into samples, truth and shadows; call it after every step.

        A step that the optimizer left out (``nonfinite="skip"``) is left out here too.
        """
        skipped = getattr(self.optimizer, "skipped_steps", 0)
        if skipped != self._skipped:
            self._skipped = skipped
            return
        followers: list[Callable[[], None]] = [shadow.observe for shadow in self.shadows]
        if self._watched.sample is not None:
            followers.append(self._watched.sample.observe)
        if self._watched.truth is not None:
            followers.append(self._watched.truth.observe)
        for follow in followers:
            follow()

    @torch.no_grad()
    def read(self, step: int, lrs: Sequence[float], *, everything: bool = False) -> tuple[Arrays, Values]:
        """Returns arrays and scalars of the step just done, on the host, of every probe that is due.

        Call it after :meth:`observe` and before gradients are cleared.

        Args:
            step: steps done, this one included.
            lrs: the learning rate of that step, one a parameter group.
            everything: read every probe, due or not.
        """
        tensors = list(tracked(self.optimizer, lrs))
        held_by_shadow = [shadow.held() for shadow in self.shadows]
        readings: list[tuple[str | None, Reading]] = []
        for scheduled in self._probes:
            if not everything and not scheduled.cadence.is_due(step):
                continue
            chosen = scheduled.chosen(tensors)
            readings.append((None, scheduled.probe.read(chosen, step)))
            if scheduled.probe.of_shadows:
                for shadow, held in zip(self.shadows, held_by_shadow, strict=True):
                    seen = [
                        replace(t, cover=held[t.name][0], mu=held[t.name][1], is_shadow=True)
                        for t in chosen
                        if t.name in held
                    ]
                    readings.append((shadow.label, scheduled.probe.read(seen, step)))
        grads = [t.grad for t in tensors if t.grad is not None]
        norm = {"grad_norm": torch.nn.utils.get_total_norm(grads)} if grads else {}
        arrays, scalars = finished([*readings, (None, Reading(scalars=norm))])
        scalars |= {
            f"accumulator_bytes@{shadow.label}": float(shadow.accumulator_bytes) for shadow in self.shadows
        }
        return arrays, scalars

    @property
    def probe_bytes(self) -> int:
        """Memory kept for statistics from step to step; no part of the optimizer's state."""
        shadows = [*self.shadows, *([self._watched.truth] if self._watched.truth is not None else [])]
        kept = self._room.num_bytes + sum(shadow.accumulator_bytes for shadow in shadows)
        if self._watched.sample is not None:
            kept += self._watched.sample.num_bytes
        return kept + sum(scheduled.probe.num_bytes for scheduled in self._probes)

    def state_dict(self) -> dict[str, Any]:
        """Returns all that samples, truth, shadows and probes keep from step to step; not copies.

        A recorder of the same spec over the same parameters goes on from it exactly: build it before the optimizer's
        own state is loaded.
        """
        sample, truth = self._watched.sample, self._watched.truth
        return {
            "sample": sample.state_dict() if sample is not None else None,
            "truth": truth.state_dict() if truth is not None else None,
            "shadows": {shadow.label: shadow.state_dict() for shadow in self.shadows},
            "probes": {s.probe.name: s.probe.state_dict() for s in self._probes},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` returned; call it after the optimizer has loaded its own state.

        Raises:
            ValueError: it is of another spec or of other tensors.
        """
        for name, held in (("sample", self._watched.sample), ("truth", self._watched.truth)):
            if (held is None) != (state[name] is None):
                raise ValueError(
                    f"the saved recorder {'has no' if held else 'has a'} {name}; build it with the same spec"
                )
            if held is not None:
                held.load_state_dict(state[name])
        for shadow in self.shadows:
            shadow.load_state_dict(state["shadows"][shadow.label])
        for scheduled in self._probes:
            scheduled.probe.load_state_dict(state["probes"][scheduled.probe.name])
        self._skipped = getattr(self.optimizer, "skipped_steps", 0)

    def _no_lrs(self) -> list[float]:
        return [0.0] * len(self.optimizer.param_groups)


def _require_fit(spec: RecordSpec, tensors: Sequence[Tracked]) -> None:
    """Raises `ValueError` with all that keeps a spec from being recorded of these tensors."""
    faults = [f"{fault.field}: {fault}" for fault in record_faults(spec, {t.name: t.shape for t in tensors})]
    counts = Counter(t.name for t in tensors)
    if twice := [name for name, count in counts.items() if count > 1]:
        faults.append(
            f"{', '.join(map(repr, twice[:5]))} name more than one parameter; give each its own name"
        )
    exact = bool(spec.truth) or ProbeName.TIGHTNESS in spec.probes
    begun = [t.name for t in tensors if exact and any(bool((mu != 0).any()) for mu in t.mu)]
    if begun:
        faults.append(
            f"the optimizer has stepped already ({begun[0]!r} holds accumulators), so exact sums cannot be had: "
            "attach before the first step, or record neither tightness nor truth"
        )
    if faults:
        raise ValueError("; ".join(faults))


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _follows(shadow: ShadowSpec, name: str, param: Tensor) -> bool:
    return (shadow.vectors or param.dim() > 1) and _matches(name, shadow.tensors)

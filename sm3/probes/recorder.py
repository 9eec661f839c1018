"""Follows an optimizer step by step and runs the probes that are due; one copy brings what they read to the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sm3.covers import from_spec
from sm3.optimizer import SM3
from sm3.probes.base import Finished, Probe, Reading, Watched
from sm3.probes.cadence import Cadence, Every, Geometric
from sm3.probes.checks import record_faults
from sm3.probes.registry import PROBES
from sm3.probes.sampled import SampledTruth
from sm3.probes.tracking import Tracked, tracked
from sm3.remote.record_specs import ProbeName, ProbeSettings, RecordSpec, label_of
from sm3.shadow import Shadow, WholeTruth

Arrays = dict[str, npt.NDArray[np.float32]]
Values = dict[str, float]


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
        return [t for t in tensors if any(fnmatchcase(t.name, glob) for glob in self.tensors)]


class Recorder:
    """Reads an optimizer as a :class:`~sm3.remote.record_specs.RecordSpec` asks.

    Around each step: :meth:`before`, the step, :meth:`observe`, and where :meth:`is_due`, :meth:`read`. The optimizer
    is never changed: training is bit for bit what it would be without.

    Args:
        optimizer: SM3, or any other (of which probes report what has a meaning).
        spec: what to record.
        seed: decides which entries are sampled.

    Raises:
        ValueError: the spec does not fit the optimizer's tensors; every fault is named.

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
        first = list(tracked(optimizer, [0.0] * len(optimizer.param_groups)))
        faults = record_faults(spec, {t.name: t.shape for t in first})
        if faults:
            raise ValueError("; ".join(f"{fault.field}: {fault}" for fault in faults))
        params = {t.name: _parameter(optimizer, t.name) for t in first}
        self._forget = {t.name: t.beta2 for t in first if t.beta2 is not None}
        self.shadows = tuple(
            Shadow(
                _matching(params, shadow.vectors),
                from_spec(shadow.cover),
                tensors=shadow.tensors,
                variant=shadow.variant,
                beta2=self._forget,
                label=label_of(shadow),
            )
            for shadow in spec.shadows
        )
        self._watched = Watched(self._sample(first, params, seed), self._truth(params))
        self._probes = [self._scheduled(name) for name in spec.probes]
        self._skipped = 0

    def _sample(self, first: Sequence[Tracked], params: dict[str, Tensor], seed: int) -> SampledTruth | None:
        needed = ProbeName.TIGHTNESS in self.spec.probes or (
            ProbeName.RATES in self.spec.probes and self.shadows
        )
        covers = {t.name: t.cover for t in first if t.cover is not None}
        if not self.spec.sample_entries or not needed or not isinstance(self.optimizer, SM3):
            return None
        return SampledTruth(
            {name: params[name] for name in covers},
            covers,
            beta2=self._forget,
            entries=self.spec.sample_entries,
            seed=seed,
        )

    def _truth(self, params: dict[str, Tensor]) -> WholeTruth | None:
        if not self.spec.truth:
            return None
        return WholeTruth(
            params, self.spec.truth, limit_bytes=self.spec.truth_limit_bytes, beta2=self._forget
        )

    def _scheduled(self, name: ProbeName) -> _Scheduled:
        settings = self.spec.probe_settings.get(name, ProbeSettings())
        every = settings.every if settings.every is not None else self.spec.every
        cadence: Cadence = Geometric() if every == "geometric" else Every(every)
        return _Scheduled(PROBES[name](self._watched, settings), cadence, settings.tensors)

    def is_due(self, step: int) -> bool:
        """Whether any probe, or the frame itself, is due after ``step`` steps."""
        return Every(self.spec.every).is_due(step) or any(s.cadence.is_due(step) for s in self._probes)

    @torch.no_grad()
    def before(self, step: int, *, everything: bool = False) -> None:
        """Lets the probes that will be read after ``step`` (all of them if ``everything``) look at what it changes."""
        due = [s for s in self._probes if (everything or s.cadence.is_due(step)) and s.looks_before]
        if due:
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
        readings: list[tuple[str | None, Reading]] = []
        for scheduled in self._probes:
            if not everything and not scheduled.cadence.is_due(step):
                continue
            chosen = scheduled.chosen(tensors)
            readings.append((None, scheduled.probe.read(chosen, step)))
            if scheduled.probe.of_shadows:
                for shadow in self.shadows:
                    seen = _seen_by(shadow, chosen)
                    readings.append((shadow.label, scheduled.probe.read(seen, step)))
        grads = [t.grad for t in tensors if t.grad is not None]
        norm = {"grad_norm": torch.nn.utils.get_total_norm(grads)} if grads else {}
        arrays, scalars = _finished([*readings, (None, Reading(scalars=norm))])
        scalars |= {
            f"accumulator_bytes@{shadow.label}": float(shadow.accumulator_bytes) for shadow in self.shadows
        }
        return arrays, scalars

    @property
    def probe_bytes(self) -> int:
        """Memory kept for statistics from step to step; no part of the optimizer's state."""
        followed = [self._watched.sample, self._watched.truth, *self.shadows]
        kept = sum(f.num_bytes for f in followed if f is not None)
        return kept + sum(scheduled.probe.num_bytes for scheduled in self._probes)

    def _no_lrs(self) -> list[float]:
        return [0.0] * len(self.optimizer.param_groups)


def _parameter(optimizer: torch.optim.Optimizer, wanted: str) -> Tensor:
    for number, group in enumerate(optimizer.param_groups):
        names = group.get("param_names") or [f"{number}.{k}" for k in range(len(group["params"]))]
        for name, param in zip(names, group["params"], strict=True):
            if name == wanted:
                found: Tensor = param
                return found
    raise AssertionError(wanted)


def _matching(params: dict[str, Tensor], vectors: bool) -> dict[str, Tensor]:
    return {name: param for name, param in params.items() if vectors or param.dim() > 1}


def _seen_by(shadow: Shadow, tensors: Sequence[Tracked]) -> list[Tracked]:
    return [
        replace(t, cover=shadow.cover, mu=shadow.accumulators(t.name), is_shadow=True)
        for t in tensors
        if t.name in shadow.names
    ]


def _finished(readings: Sequence[tuple[str | None, Reading]]) -> tuple[Arrays, Values]:
    """Brings all readings to the host, finishes them there, and names what is a shadow's by its label."""
    parts = [(r.arrays, r.scalars, r.raw) for _, r in readings]
    on_host = iter(_to_host([t for part in parts for held in part for t in held.values()]))
    arrays: Arrays = {}
    scalars: Values = {}
    for (label, reading), (own_arrays, own_scalars, own_raw) in zip(readings, parts, strict=True):
        found = Finished(
            {name: next(on_host).copy() for name in own_arrays},
            {name: float(next(on_host)) for name in own_scalars},
        )
        more = reading.finish({name: next(on_host) for name in own_raw})
        arrays |= {_labelled(n, label): a for n, a in (found.arrays | more.arrays).items()}
        scalars |= {_labelled(n, label): v for n, v in (found.scalars | more.scalars).items()}
    return arrays, scalars


def _labelled(name: str, label: str | None) -> str:
    """``statistic/…`` as it is, or ``statistic@label/…``."""
    statistic, slash, rest = name.partition("/")
    return name if label is None else f"{statistic}@{label}{slash}{rest}"


def _to_host(tensors: Sequence[Tensor]) -> list[npt.NDArray[np.float32]]:
    """All tensors in float32 on the host, in their shapes: views of one flat buffer that one copy brought."""
    if not tensors:
        return []
    device = next((t.device for t in tensors if t.device.type != "cpu"), tensors[0].device)
    flat = torch.cat([t.reshape(-1).to(device, torch.float32) for t in tensors]).cpu().numpy()
    ends = np.cumsum([t.numel() for t in tensors])
    return [flat[end - t.numel() : end].reshape(tuple(t.shape)) for end, t in zip(ends, tensors, strict=True)]

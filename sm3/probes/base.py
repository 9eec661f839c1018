"""What a probe is: something that reads an optimizer's tensors around a step and changes nothing.

Probes load without torch, as covers do, so that a service can list them; torch comes with the first reading.

Vocabulary:

* **reading**: what a probe found at one step: arrays ``statistic/part/tensor`` and scalars ``series`` or
  ``series/tensor``, still on the tensors' device.
* ``statistic@label``: the same statistic of a shadow cover called ``label`` (see :mod:`sm3.shadow`).
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sm3.remote.record_specs import ProbeSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from sm3.probes.sampled import SampledTruth
    from sm3.probes.tracking import Tracked
    from sm3.shadow import WholeTruth

MAX_BINS = 256
SHADOW_BINS = 32
"""Bins a dim of accumulators of shadows of three dims and more."""
MAP_BINS = 64
"""Bins a dim of maps of tightness and poison, and of matrices' accumulators of shadows."""


Array = npt.NDArray[np.float32]


@dataclass
class Finished:
    """What a probe made on the host of what it read: arrays and scalars as in `Reading`."""

    arrays: dict[str, Array] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)


@dataclass
class Reading:
    """What a probe read: tensors still on their device, so that one copy can bring all of them to the host.

    Attributes:
        arrays: ``statistic/part/tensor`` to a small float32 tensor.
        scalars: series name to a 0-d tensor.
        raw: by a key of the probe's own, small tensors that `finish` makes statistics of on the host, where NumPy
            costs less than many small operations on the device.
        finish: makes them: given `raw` in float32, in the shapes read.
    """

    arrays: dict[str, Tensor] = field(default_factory=dict)
    scalars: dict[str, Tensor] = field(default_factory=dict)
    raw: dict[str, Tensor] = field(default_factory=dict)
    finish: Callable[[Mapping[str, Array]], Finished] = lambda _: Finished()


@dataclass(frozen=True)
class Watched:
    """What is followed at every step for the probes that need it.

    Attributes:
        sample: exact accumulators of a few entries of every tensor; None where none are sampled.
        truth: exact accumulators of all entries of chosen tensors; None where none were chosen.
        own_is_comparable: whether the optimizer's own accumulators stand for the same sums as these: not those of
            Adam or Adafactor, which average.
    """

    sample: SampledTruth | None = None
    truth: WholeTruth | None = None
    own_is_comparable: bool = True

    def compares(self, tensor: Tracked) -> bool:
        """Whether a tensor has a bound that can be held against exact accumulators."""
        return tensor.cover is not None and (self.own_is_comparable or tensor.is_shadow)


class Probe:
    """One statistic. The class docstring tells its meaning, kind, unit, cost and memory.

    Args:
        watched: what is followed at every step.
        settings: what was asked of this probe in particular.
    """

    name: ClassVar[str]
    of_shadows: ClassVar[bool] = False
    """Whether it is read of shadow covers too."""

    def __init__(self, watched: Watched | None = None, settings: ProbeSettings | None = None) -> None:
        self.watched = watched or Watched()
        self.settings = settings or ProbeSettings()

    def before(self, tensors: Sequence[Tracked]) -> None:
        """Look at the tensors before the step that is read next; most probes need not."""

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the statistic of ``tensors`` after ``step`` steps; changes nothing of theirs."""
        raise NotImplementedError

    @property
    def num_bytes(self) -> int:
        """Memory it keeps from step to step."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """Returns what it keeps from step to step, as numbers, lists, dicts and tensors; not copies."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` of the same probe over the same tensors returned."""


@dataclass(frozen=True)
class Statistic:
    """A probe in words; see :func:`describe`."""

    name: str
    meaning: str
    kind: str
    unit: str
    cost: str
    memory: str


def describe(probe: type[Probe]) -> Statistic:
    """Returns what a probe's docstring says: its text, then ``Kind:``, ``Unit:``, ``Cost:`` and ``Memory:``."""
    text = inspect.getdoc(probe) or ""
    parts = re.split(r"\b(Kind|Unit|Cost|Memory): ", " ".join(text.replace("``", "").split()))
    told = {
        key.lower(): value.strip().rstrip(".") for key, value in zip(parts[1::2], parts[2::2], strict=True)
    }
    meaning = re.sub(r":\w+:`~?([^`]*)`", r"\1", parts[0]).strip()
    return Statistic(probe.name, meaning, **told)


def max_pool(values: Tensor, *, bins: int = MAX_BINS) -> Tensor:
    """Returns ``values`` max-pooled along every dim to at most ``bins`` bins of equal width ⌈n/bins⌉.

    The last bin of a dim may be narrower. NaN wins over everything, as in the accumulators themselves. For
    slices pooling is exact: the max over a tile of min(row, column) is the min of the pooled row and column,
    since both are non-decreasing in each argument.

    Args:
        values: [n₁, …, nₚ], non-negative; a dim of size 0 stays.
        bins: at least 1.
    """
    import torch

    for dim, n in enumerate(values.shape):
        width = -(-n // bins)
        if width <= 1:
            continue
        whole = n - n % width
        parts = [_split(values.narrow(dim, 0, whole), dim, width).amax(dim + 1)]
        if whole < n:
            parts.append(values.narrow(dim, whole, n - whole).amax(dim, keepdim=True))
        values = torch.cat(parts, dim)
    return values


def _split(values: Tensor, dim: int, width: int) -> Tensor:
    """Returns ``values`` with ``dim`` split into groups of ``width``."""
    shape = [*values.shape[:dim], values.shape[dim] // width, width, *values.shape[dim + 1 :]]
    return values.reshape(shape)

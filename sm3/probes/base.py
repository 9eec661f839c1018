"""What a probe is: something that reads an optimizer's tensors after a step and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from sm3.probes.tracking import Tracked

MAX_BINS = 256


@dataclass
class Reading:
    """What a probe read: tensors still on their device, so that one copy can bring all of them to the host.

    Attributes:
        arrays: ``statistic/part/tensor`` to a small float32 tensor.
        scalars: series name to a 0-d tensor.
    """

    arrays: dict[str, Tensor] = field(default_factory=dict)
    scalars: dict[str, Tensor] = field(default_factory=dict)


class Probe(Protocol):
    """One statistic. The class docstring tells its meaning, unit, cost and memory."""

    name: ClassVar[str]
    unit: ClassVar[str]

    def read(self, tensors: Sequence[Tracked]) -> Reading:
        """Returns the statistic of ``tensors``; changes nothing."""
        ...


def max_pool(values: Tensor, *, bins: int = MAX_BINS) -> Tensor:
    """Returns ``values`` max-pooled along every dim to at most ``bins`` bins of equal width ⌈n/bins⌉.

    The last bin of a dim may be narrower. NaN wins over everything, as in the accumulators themselves. For
    slices pooling is exact: the max over a tile of min(row, column) is the min of the pooled row and column,
    since both are non-decreasing in each argument.

    Args:
        values: [n₁, …, nₚ], non-negative; a dim of size 0 stays.
        bins: at least 1.
    """
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

"""From readings on a device to arrays and numbers on the host, in one copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sm3.probes.base import Finished, Reading

Arrays = dict[str, npt.NDArray[np.float32]]
Values = dict[str, float]


def finished(readings: Sequence[tuple[str | None, Reading]]) -> tuple[Arrays, Values]:
    """Brings all readings to the host in one copy, finishes them there, and names what is a shadow's by its label.

    Args:
        readings: each with the label of its shadow, None for the optimizer's own.

    Returns:
        Arrays ``statistic/part/tensor`` and scalars by series, of shadows ``statistic@label/…``.
    """
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

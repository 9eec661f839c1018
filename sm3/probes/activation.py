"""Which rows and columns of a gradient are active."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sm3.probes.base import MAX_BINS, Finished, Probe, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from sm3.probes.base import Array
    from sm3.probes.tracking import Tracked


class Activation(Probe):
    """Which rows and columns of a gradient are not zero throughout, for tensors of rank 2 and more.

    Series ``zero_rows/NAME`` (slices along dim 0) and ``zero_cols/NAME`` (along dim 1): the share that is zero.
    Arrays ``activation/dim0/NAME`` and ``activation/dim1/NAME``: 1 where any slice of a bin is active, else 0. The
    paper calls what they show an activation pattern (arXiv 1901.11150, section 4): whole rows of an embedding's
    gradient are either zero or not.

    Kind: series and array a tensor. Unit: share, 0 to 1. Cost: three passes over the gradient. Memory: none kept; a
    copy of the gradient for a moment.
    """

    name: ClassVar[str] = "activation"

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns shares and maps of ``tensors``."""
        reading = Reading(finish=_shares)
        for tensor in tensors:
            if tensor.grad is None or len(tensor.shape) < 2 or tensor.grad.numel() == 0:
                continue
            magnitude = tensor.grad.abs()
            for dim in (0, 1):
                others = [k for k in range(len(tensor.shape)) if k != dim]
                reading.raw[f"{dim}/{tensor.name}"] = magnitude.amax(others)
        return reading


def _shares(raw: Mapping[str, Array]) -> Finished:
    """From the largest |g| of each slice: what share is zero, and a map of the others."""
    found = Finished()
    for key, peaks in raw.items():
        dim, _, name = key.partition("/")
        active = peaks != 0
        found.scalars[f"{('zero_rows', 'zero_cols')[int(dim)]}/{name}"] = float(1 - active.mean())
        found.arrays[f"activation/dim{dim}/{name}"] = pooled(active)
    return found


def pooled(active: npt.NDArray[np.bool_], *, bins: int = MAX_BINS) -> Array:
    """Returns 1 for each of at most ``bins`` bins of equal width that any of ``active`` (n,) is in, else 0."""
    width = -(-len(active) // bins)
    if width > 1:
        padded = np.pad(active, (0, -len(active) % width)).reshape(-1, width)
        return np.asarray(padded.any(axis=1), np.float32)
    return np.asarray(active, np.float32)

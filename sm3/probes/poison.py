"""Entries whose bound is held up by outliers elsewhere, and the set that would free them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sm3.covers import Blocks, Slices
from sm3.probes.base import MAP_BINS, Probe, Reading, max_pool
from sm3.probes.tightness import tightness, whole_summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.covers import Cover
    from sm3.probes.tracking import Tracked

EXCESS_BITS = 4.0
"""By how much an entry's tightness must exceed its tensor's level to count as poisoned: a step 4 times too small."""
REMEDIES: tuple[tuple[str, Cover], ...] = (
    ("blocks-8", Blocks(8)),
    ("blocks-64", Blocks(64)),
    ("slices-0", Slices((0,))),
    ("slices-1", Slices((1,))),
)
"""Families whose sets are tried as an addition to the cover, by union."""


@dataclass(frozen=True)
class Poisoned:
    """What the detector found in one tensor; tensors stay on their device.

    Attributes:
        excess: bits above the tensor's level, of its shape; NaN where γ = 0.
        entries: bool of its shape: excess of at least `EXCESS_BITS`.
        freed: remedy to the number of poisoned entries that a union with all its sets would free, at most.
        best_set: float32 (2 + 2·rank,): position of the remedy in `REMEDIES`, entries that its single best set frees,
            then for each dim where that set begins and ends. The best is the one that frees most.
    """

    excess: Tensor
    entries: Tensor
    freed: dict[str, Tensor]
    best_set: Tensor


class Poison(Probe):
    """Entries that take steps far too small, for every set around them holds an outlier elsewhere.

    A set shares its largest number: one spike in a row and one in a column hold up the bound where they cross. For
    tensors of rank 2 in ``truth``: ``poisoned/NAME``, the number of entries whose tightness exceeds the tensor's
    level (its median, which tuning absorbs) by 4 bits or more; array ``poison/map/NAME``, that excess, max-pooled to
    64 a dim; ``poison_freed_REMEDY/NAME`` for blocks of 8 and 64, rows and columns: how many would be free, at most,
    had those sets been in the cover too (they would hold their largest γ or more); array ``poison/set/NAME``: the one
    extra set that frees most (remedy, entries freed, then begin and end along each dim).

    Kind: series and array a tensor. Unit: entries; bits. Cost: about ten passes over the tensor. Memory: none kept
    but the whole truth; a few times the tensor for a moment.
    """

    name: ClassVar[str] = "poison"

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns what is poisoned in ``tensors``."""
        reading = Reading()
        truth = self.watched.truth
        for tensor in tensors:
            if truth is None or tensor.name not in truth or not self.watched.compares(tensor):
                continue
            if tensor.cover is None or len(tensor.shape) != 2 or 0 in tensor.shape:
                continue
            nu = tensor.cover.bound(tensor.mu, tensor.shape)
            found = detect(nu, truth.gamma(tensor.name))
            reading.scalars[f"poisoned/{tensor.name}"] = found.entries.sum()
            for remedy, count in found.freed.items():
                reading.scalars[f"poison_freed_{remedy}/{tensor.name}"] = count
            shown = found.excess.nan_to_num(nan=0.0).clamp(min=0.0)
            reading.arrays[f"poison/map/{tensor.name}"] = max_pool(shown, bins=MAP_BINS)
            reading.arrays[f"poison/set/{tensor.name}"] = found.best_set
        return reading


def detect(nu: Tensor, gamma: Tensor) -> Poisoned:
    """Finds the poisoned entries of a matrix.

    Args:
        nu: the cover's bound, float32 (m, n).
        gamma: exact accumulators, float32 (m, n).
    """
    import torch

    shape = tuple(nu.shape)
    bits = tightness(nu, gamma)
    level = whole_summary(bits)["level"]
    excess = bits - level
    entries = excess >= EXCESS_BITS
    freed, sets = {}, []
    for position, (remedy, cover) in enumerate(REMEDIES):
        ideal = cover.bound(cover.reduce(gamma), shape)
        free = entries & (nu.minimum(ideal) < gamma * 2 ** (level + EXCESS_BITS))
        freed[remedy] = free.sum()
        sets.append(_best(cover, free, shape, position))
    candidates = torch.stack(sets)
    return Poisoned(excess, entries, freed, candidates[candidates[:, 1].argmax()])


def _best(cover: Cover, free: Tensor, shape: tuple[int, ...], position: int) -> Tensor:
    """The tile of ``cover`` with most of ``free`` in it, as `Poisoned.best_set` has it."""
    import torch

    if isinstance(cover, Blocks):
        edges = cover.edges_of(shape)
    else:
        assert isinstance(cover, Slices)
        (dim,) = cover.dims_of(shape)
        edges = tuple(1 if k == dim else max(size, 1) for k, size in enumerate(shape))
    counts = free.float()
    for dim, edge in enumerate(edges):
        tiles = torch.arange(shape[dim], device=free.device) // edge
        counts = counts.new_zeros(
            *(-(-shape[k] // edges[k]) if k <= dim else shape[k] for k in range(len(shape)))
        ).index_add_(dim, tiles, counts)
    most, flat = counts.flatten().max(0)
    columns = [most.new_full((), position), most]
    places: list[Tensor] = []
    for size, edge, count in reversed(list(zip(shape, edges, counts.shape, strict=True))):
        begin = flat % count * edge
        places = [begin.float(), (begin + edge).clamp(max=size).float(), *places]
        flat = flat // count
    return torch.stack([*columns, *places])

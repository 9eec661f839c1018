"""Whether the entries of a cover set are alike enough to share one number."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sm3.covers import Blocks, Explicit, Reshaped, Slices, Union, Whole
from sm3.probes.base import Probe, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.covers import Cover
    from sm3.probes.tracking import Tracked


MOST_SETS = 1_000_000
"""Sets that quantiles are taken over; of more, evenly chosen ones."""


class Alike(Probe):
    """How alike squared gradients are inside each cover set: the quantity that says whether a set may share a number.

    Over the sets with any gradient: ``peak_p50/NAME``, ``peak_p95/NAME``, quantiles of max/mean of g² (1: all equal;
    the set's size: one entry has it all), and ``snr_p05/NAME``, ``snr_p50/NAME``, quantiles of mean²/variance of g²
    (0.5 for a set of independent normal gradients; large when one number is enough).

    Kind: series a tensor. Unit: ratio. Cost: three reductions of g² for each dim of slices, or each member of a
    union. Memory: none kept; two floats a gradient entry for a moment.
    """

    name: ClassVar[str] = "alike"

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the quantiles of ``tensors``; nothing under singletons, whose sets share nothing."""
        import torch

        reading = Reading()
        for tensor in tensors:
            if tensor.grad is None or tensor.cover is None or tensor.grad.numel() == 0:
                continue
            # Scaled by the largest entry, which ratios do not notice: the square of a small g² would be 0.
            magnitude = tensor.grad.float().abs()
            found = set_moments(tensor.cover, (magnitude / magnitude.amax()).square())
            if found is None:
                continue
            mean, square, peak = found
            active = peak > 0
            shares = {
                "peak": torch.where(active, peak / mean, torch.nan),
                "snr": torch.where(
                    active, mean.square() / (square - mean.square()).clamp(min=0.0), torch.nan
                ),
            }
            for series, q in (("peak", 0.5), ("peak", 0.95), ("snr", 0.05), ("snr", 0.5)):
                value = _thinned(shares[series]).nan_to_num(nan=torch.nan, posinf=3e38).nanquantile(q)
                reading.scalars[f"{series}_p{round(100 * q):02}/{tensor.name}"] = value
        return reading


def _thinned(values: Tensor) -> Tensor:
    """At most a million of them, evenly: `quantile` refuses more than 16 million."""
    return values[:: -(-len(values) // MOST_SETS)]


def set_moments(cover: Cover, x: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Returns mean of x, mean of x² and max of x within each set, each of (number of sets,); None under singletons.

    Args:
        cover: covers ``x.shape``.
        x: non-negative float32, not empty.
    """
    import torch

    match cover:
        case Whole():
            return x.mean().reshape(1), x.square().mean().reshape(1), x.amax().reshape(1)
        case Slices() if x.dim() > 1:
            parts = [_along(x, dim) for dim in cover.dims_of(tuple(x.shape))]
        case Blocks():
            (counts,) = _sums(cover, torch.ones_like(x))
            (sums,), (squares,) = _sums(cover, x), _sums(cover, x.square())
            (peaks,) = cover.reduce(x)
            return tuple(t.flatten() for t in (sums / counts, squares / counts, peaks))  # type: ignore[return-value]
        case Reshaped():
            return set_moments(cover.inner, x.reshape(cover.view_of(tuple(x.shape))))
        case Union():
            found = [set_moments(member, x) for member in cover.members]
            parts = [part for part in found if part is not None]
        case Explicit():
            entries, sets = cover.incidences(x.device)
            held, (peaks,) = x.flatten()[entries], cover.reduce(x)
            count, total, square = (
                torch.zeros_like(peaks).index_add_(0, sets, values)
                for values in (torch.ones_like(held), held, held.square())
            )
            filled = count > 0
            parts = [(total[filled] / count[filled], square[filled] / count[filled], peaks[filled])]
        case _:
            return None
    if not parts:
        return None
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]


def _along(x: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    others = [k for k in range(x.dim()) if k != dim]
    return x.mean(others), x.square().mean(others), x.amax(others)


def _sums(cover: Blocks, x: Tensor) -> tuple[Tensor]:
    """The sum of x within each tile."""
    import torch

    for dim, edge in enumerate(cover.edges_of(tuple(x.shape))):
        size = x.shape[dim]
        tiles = torch.arange(size, device=x.device) // edge
        count = -(-size // edge)
        x = x.new_zeros(*x.shape[:dim], count, *x.shape[dim + 1 :]).index_add_(dim, tiles, x)
    return (x,)

"""Looking for NaN and inf before anything is written: one read of every gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sm3.kernels import cpu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def first_nonfinite(grads: Sequence[Tensor]) -> int | None:
    """Position of the first gradient, dense or sparse, that holds NaN or inf; None where all are finite."""
    by_c = [k for k, grad in enumerate(grads) if cpu.checks(grad)]
    rest = [k for k, grad in enumerate(grads) if not cpu.checks(grad)] if len(by_c) < len(grads) else []
    found = [by_c[k] for k in (cpu.first_nonfinite([grads[k] for k in by_c]) if by_c else -1,) if k >= 0]
    found += [k for k in rest if not _all_finite(grads[k])][:1]
    return min(found, default=None)


def _all_finite(grad: Tensor) -> bool:
    values = grad._values() if grad.is_sparse else grad
    return bool(values.isfinite().all())

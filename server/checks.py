"""Whether a job fits its model: every fault at once, before anything is queued. No torch.

A spec by itself says only that its fields are in range. Whether a cover can cover the recipe's tensors, whether a glob
matches any and how many bytes truth would take follow from the shapes, which the recipe knows without torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from server.problems import invalid
from sm3.advisor.candidates import require_budget
from sm3.covers.misfits import misfits
from sm3.probes.checks import MAX_FAULTS, record_faults
from sm3.remote.cover_specs import SlicesSpec
from sm3.remote.job_specs import JobSpec
from sm3.remote.optimizer_specs import AdviseSpec, Sm3Spec
from sm3.remote.recipe_specs import parameter_shapes
from sm3.remote.wire import FieldFault

Shapes = Mapping[str, tuple[int, ...]]


def require_fit(spec: JobSpec) -> None:
    """Refuses a job that its recipe's model cannot be trained with.

    Raises:
        Refusal: 422 with every fault.
    """
    if found := job_faults(spec):
        raise invalid(found)


def job_faults(spec: JobSpec) -> list[FieldFault]:
    """Returns all that does not fit between a job's covers, what it records, and its model."""
    shapes = parameter_shapes(spec.recipe)
    found = list(_optimizer_faults(spec.optimizer, shapes)) if isinstance(spec.optimizer, Sm3Spec) else []
    for fault in record_faults(spec.record, shapes):
        found.append(FieldFault(field=f"record.{fault.field}", given=fault.given, allowed=fault.allowed))
    return found[:MAX_FAULTS]


def _optimizer_faults(spec: Sm3Spec, shapes: Shapes) -> Iterator[FieldFault]:
    ruled = [rule.match for rule in spec.rules]
    free = {n: s for n, s in shapes.items() if not any(fnmatchcase(n, glob) for glob in ruled)}
    if isinstance(spec.cover, AdviseSpec):
        try:
            require_budget(free, spec.cover.budget_bytes)
        except ValueError as error:
            yield FieldFault(
                field="optimizer.cover.budget_bytes", given=spec.cover.budget_bytes, allowed=str(error)
            )
    cover = SlicesSpec() if isinstance(spec.cover, AdviseSpec) else spec.cover
    yield from misfits(cover, spec.rules, shapes, prefix="optimizer.")

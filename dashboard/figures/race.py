"""The form that launches a race of covers, or one job that follows covers as shadows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from sm3.remote.comparison_specs import ComparisonSpec, VariantSpec
from sm3.remote.cover_specs import BlocksSpec, CoverSpec, SingletonsSpec, SlicesSpec, UnionSpec, WholeSpec
from sm3.remote.job_specs import JobSpec
from sm3.remote.recipe_specs import num_parameters
from sm3.remote.record_specs import RecordSpec, ShadowSpec

COVERS: Mapping[str, CoverSpec] = {
    "slices": SlicesSpec(),
    "rows": SlicesSpec(dims=(0,)),
    "columns": SlicesSpec(dims=(1,)),
    "blocks-16": BlocksSpec(tile=16),
    "blocks-64": BlocksSpec(tile=64),
    "whole": WholeSpec(),
    "slices+blocks": UnionSpec(members=(SlicesSpec(), BlocksSpec(tile=64))),
    "singletons": SingletonsSpec(),
}
"""The covers that the form offers; all others go by curl, Python or the command line."""

USUAL = ("slices", "rows", "blocks-64", "whole")
BASES: Mapping[str, dict[str, str]] = {
    "language model, tiny": {"name": "language-model", "size": "tiny"},
    "language model, small": {"name": "language-model", "size": "small"},
    "images, MLP": {"name": "images", "model": "mlp"},
    "images, CNN": {"name": "images", "model": "cnn"},
}
"""The base recipes that the form offers."""

TRUTH_LIMIT_BYTES = RecordSpec().truth_limit_bytes


def base_of(base: str, *, steps: int, lr: float) -> JobSpec:
    """Returns the job that all variants share; it records whole truth where that fits, for maps of tightness."""
    every = max(1, min(10, steps // 20))
    spec = JobSpec.model_validate({
        "recipe": BASES[base],
        "optimizer": {"name": "sm3", "lr": lr},
        "steps": steps,
        "record": {"every": every},
        "validation": {"every": max(1, min(250, steps // 10))},
    })
    if 4 * num_parameters(spec.recipe) > TRUTH_LIMIT_BYTES:
        return spec
    return spec.model_copy(update={"record": spec.record.model_copy(update={"truth": ("*",)})})


def race_of(base: JobSpec, covers: Sequence[str], num_seeds: int, label: str = "") -> ComparisonSpec:
    """Returns the comparison in which each cover trains its own copy, at seeds from 0 on.

    Raises:
        ValidationError: fewer than two covers, or too many jobs.
    """
    return ComparisonSpec(
        base=base,
        variants=tuple(
            VariantSpec(name=name, change={"optimizer": {"cover": COVERS[name].model_dump(mode="json")}})
            for name in covers
        ),
        seeds=tuple(range(num_seeds)),
        label=label,
    )


def shadows_of(base: JobSpec, covers: Sequence[str]) -> JobSpec:
    """Returns one job that trains with the first cover and follows the others on the same gradients."""
    first, *others = covers
    shadows = tuple(ShadowSpec(cover=COVERS[name], label=name.replace("+", "-")) for name in others)
    return base.model_copy(
        update={
            "optimizer": base.optimizer.model_copy(update={"cover": COVERS[first]}),
            "record": base.record.model_copy(update={"shadows": shadows}),
        }
    )


def faults(error: ValidationError) -> tuple[str, ...]:
    """Returns what is wrong with a race, one sentence a field."""
    return tuple(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg']} (given: {fault['input']!r})"
        for fault in error.errors()
    )

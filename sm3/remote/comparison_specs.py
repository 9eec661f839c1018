"""What a comparison is asked to be: the body of ``POST /v1/comparisons``. No torch.

A comparison trains variants of one base job that differ in the optimizer and its schedule alone, each at the same
seeds and so on the same data in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import Field, JsonValue, ModelWrapValidatorHandler, StringConstraints, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError
from pydantic_core.core_schema import ErrorType

from sm3.remote.job_specs import JobSpec
from sm3.remote.spec import Spec

MAX_JOBS = 64
MAX_VARIANTS = 16
COMPARISON_LABEL, VARIANT_LABEL = "comparison", "variant"
_MAX_LABELS = 30
_TAGS = ("name", "kind")
_KNOWN_TYPES = frozenset(get_args(ErrorType))

Model = TypeVar("Model", bound=Spec)
VariantName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class VariantSpec(Spec):
    """One variant: its name, and what is changed in the base job for it (nothing, for the base itself)."""

    name: VariantName
    change: dict[Literal["optimizer", "schedule"], dict[str, JsonValue] | None] = Field(
        default_factory=dict,
        description="a JSON merge patch (RFC 7396) on the base job: objects merge, null takes a field back to its "
        "default. Where a patch changes the `name` or `kind` of an object, it replaces that object.",
    )

    def applied(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the JSON of the job that this variant of ``base``, the JSON of a job, is; not yet validated."""
        merged: dict[str, Any] = merge(base, self.change)
        return merged


class ComparisonSpec(Spec):
    """A comparison; each variant at each seed becomes one job, with the labels ``comparison`` and ``variant``.

    Every fault of base and variants is found at once: a variant's is named by its place in the patch, such as
    ``variants.2.change.optimizer.lr``.
    """

    base: JobSpec
    variants: tuple[VariantSpec, ...] = Field(min_length=2, max_length=MAX_VARIANTS)
    seeds: tuple[Seed, ...] | None = Field(
        None, min_length=1, max_length=16, description="null: the base's own seed alone"
    )
    label: str = Field("", max_length=128)

    @property
    def effective_seeds(self) -> tuple[int, ...]:
        """The seeds: the spec's own, or else the base's."""
        return (self.base.seed,) if self.seeds is None else self.seeds

    def jobs(self, comparison_id: str) -> Iterator[tuple[int, int, JobSpec]]:
        """Yields (number of the variant, number of the seed, job), all variants of a seed before the next seed.

        So a comparison that is still running can already compare all variants, at its first seeds.
        """
        base = self.base.model_dump(mode="json")
        specs = [JobSpec.model_validate(variant.applied(base)) for variant in self.variants]
        for seed_number, seed in enumerate(self.effective_seeds):
            for number, (variant, spec) in enumerate(zip(self.variants, specs, strict=True)):
                labels = {**spec.labels, COMPARISON_LABEL: comparison_id, VARIANT_LABEL: variant.name}
                yield number, seed_number, spec.model_copy(update={"seed": seed, "labels": labels})

    @model_validator(mode="wrap")
    @classmethod
    def _has_no_fault(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Looks for faults of variants even where there are others, so that one answer names all."""
        found: list[InitErrorDetails] = []
        made = None
        try:
            made = validate(given)
        except ValidationError as error:
            found += _details(error, (), given)
        parts: Any = given if isinstance(given, Mapping) else vars(made) if made is not None else {}
        base = _valid(JobSpec, parts.get("base"))
        listed = parts.get("variants")
        variants = [_valid(VariantSpec, v) for v in listed] if isinstance(listed, list | tuple) else []
        found = [fault for fault in found if not _only_seems_short(fault, parts)]
        if base is not None:
            found += _label_faults(base)
            found += _variant_faults(base, variants[:MAX_VARIANTS])
        found += _repeated_names(variants)
        if made is not None:
            found += _seed_faults(made)
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found)
        assert made is not None
        return made


def merge(target: JsonValue | Mapping[str, Any], patch: JsonValue | Mapping[Any, Any]) -> Any:
    """Returns ``target`` with a JSON merge patch applied (RFC 7396, section 2); neither is changed.

    One thing more than the RFC: a patch that gives an object another ``name`` or ``kind`` replaces it, since the
    fields of one kind mean nothing to the other.

    >>> merge({"name": "sm3", "lr": 0.1, "momentum": 0.9}, {"lr": 0.2, "momentum": None})
    {'name': 'sm3', 'lr': 0.2}
    >>> merge({"name": "sm3", "momentum": 0.9}, {"name": "adamw", "lr": 0.001})
    {'name': 'adamw', 'lr': 0.001}
    """
    if not isinstance(patch, Mapping):
        return patch
    kept: dict[str, Any] = dict(target) if isinstance(target, Mapping) else {}
    if any(tag in kept and tag in patch and kept[tag] != patch[tag] for tag in _TAGS):
        kept = {}
    for key, value in patch.items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = merge(kept.get(key), value)
    return kept


def _valid(model: type[Model], given: Any) -> Model | None:
    try:
        return model.model_validate(given)
    except ValidationError:
        return None


def _only_seems_short(fault: InitErrorDetails, parts: Mapping[str, Any]) -> bool:
    """Whether a list is long enough and pydantic, which counts only what has no fault, finds it too short."""
    place = fault.get("loc", ())
    given = parts.get(str(place[0])) if len(place) == 1 else None
    return (
        fault["type"] == "too_short" and isinstance(given, list) and len(given) >= fault["ctx"]["min_length"]
    )


def _variant_faults(base: JobSpec, variants: list[VariantSpec | None]) -> list[InitErrorDetails]:
    found: list[InitErrorDetails] = []
    dumped = base.model_dump(mode="json")
    for number, variant in enumerate(variants):
        if variant is None:
            continue
        job = variant.applied(dumped)
        try:
            JobSpec.model_validate(job)
        except ValidationError as error:
            found += _details(error, ("variants", number, "change"), job)
    return found


def _repeated_names(variants: list[VariantSpec | None]) -> list[InitErrorDetails]:
    first: dict[str, int] = {}
    found = []
    for number, variant in enumerate(variants):
        if variant is not None and first.setdefault(variant.name, number) != number:
            found.append(
                _fault(
                    ("variants", number, "name"),
                    variant.name,
                    f"a name of its own: variant {first[variant.name]} has this one, rename one of them",
                )
            )
    return found


def _label_faults(base: JobSpec) -> list[InitErrorDetails]:
    found = [
        _fault(
            ("base", "labels", key), base.labels[key], "no such label: the comparison writes it, rename yours"
        )
        for key in (COMPARISON_LABEL, VARIANT_LABEL)
        if key in base.labels
    ]
    if len(base.labels) > _MAX_LABELS:
        allowed = f"at most {_MAX_LABELS} labels, for the comparison adds two: remove some"
        found.append(_fault(("base", "labels"), f"{len(base.labels)} labels", allowed))
    return found


def _seed_faults(spec: ComparisonSpec) -> list[InitErrorDetails]:
    seeds = spec.effective_seeds
    found = [
        _fault(("seeds",), seed, "each seed once: the same seed again tells nothing new, remove it")
        for seed, count in Counter(seeds).items()
        if count > 1
    ]
    if (total := len(spec.variants) * len(seeds)) > MAX_JOBS:
        given = f"{len(spec.variants)} variants at {len(seeds)} seeds, {total} jobs"
        found.append(_fault(("seeds",), given, f"at most {MAX_JOBS} jobs: take fewer seeds or variants"))
    return found


def _fault(place: tuple[str | int, ...], given: object, allowed: str) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError("comparison", _escaped(allowed)), loc=place, input=given)


def _details(
    error: ValidationError, place: tuple[str | int, ...] = (), given: object = None
) -> list[InitErrorDetails]:
    """Returns the faults of ``error``, found in the JSON ``given``, as faults of what is at ``place``."""
    return [
        InitErrorDetails(
            type=fault["type"]
            if fault["type"] in _KNOWN_TYPES
            else PydanticCustomError(fault["type"], _escaped(fault["msg"])),
            loc=(*place, *_path(fault["loc"], given)),
            input=fault["input"],
            ctx=fault.get("ctx", {}),
        )
        for fault in error.errors(include_url=False)
    ]


def _escaped(message: str) -> str:
    """Returns ``message`` for pydantic, which would take braces for places to fill in."""
    return message.replace("{", "{{").replace("}", "}}")


def _path(location: tuple[str | int, ...], place: object) -> Iterator[str | int]:
    """Yields the keys that lead to a fault in the JSON ``place``, without what pydantic adds for unions."""
    for part in location:
        leads_on = isinstance(place, dict) and part in place
        if isinstance(place, dict) and not leads_on and part in {"dict", *map(place.get, _TAGS)}:
            continue
        if isinstance(place, list) and not isinstance(part, int):
            continue
        if isinstance(place, str | int | float) or part == "[key]":  # the fault is what leads here
            continue
        yield part
        if isinstance(place, dict):
            place = place.get(str(part))
        elif isinstance(place, list) and isinstance(part, int) and part < len(place):
            place = place[part]

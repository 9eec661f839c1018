"""Whether covers fit a model's tensors: every fault at once, by the fields of what was asked. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from sm3.covers.base import Cover, Shape
from sm3.covers.policy import CoverPolicy
from sm3.covers.registry import from_spec
from sm3.remote.cover_specs import CoverRule, CoverSpec
from sm3.remote.wire import FieldFault


def misfits(
    cover: CoverSpec, rules: Sequence[CoverRule], shapes: Mapping[str, Shape], *, prefix: str = ""
) -> Iterator[FieldFault]:
    """Yields all that does not fit: globs that match no tensor, covers that cannot be made or cannot cover one.

    Args:
        cover: of tensors of rank ≥ 2 that no rule names.
        rules: tried in order on each name.
        shapes: name to shape.
        prefix: put before each field, such as "optimizer.".
    """
    made: list[tuple[str, Cover]] = []
    numbers: list[int] = []
    for number, rule in enumerate(rules):
        if not any(fnmatchcase(name, rule.match) for name in shapes):
            allowed = f"a glob that matches a tensor, such as {', '.join(map(repr, list(shapes)[:4]))}"
            yield FieldFault(field=f"{prefix}rules.{number}.match", given=rule.match, allowed=allowed)
        try:
            made.append((rule.match, from_spec(rule.cover)))
            numbers.append(number)
        except ValueError as error:
            yield FieldFault(field=f"{prefix}rules.{number}.cover", given=rule.cover.kind, allowed=str(error))
    try:
        default = from_spec(cover)
    except ValueError as error:
        yield FieldFault(field=f"{prefix}cover", given=cover.kind, allowed=str(error))
        return
    policy = CoverPolicy(default=default, rules=tuple(made))
    for name, shape in shapes.items():
        try:
            policy.cover_for(name, shape)
        except ValueError as error:
            matching = [k for k, (glob, _) in zip(numbers, made, strict=True) if fnmatchcase(name, glob)]
            field = f"{prefix}rules.{matching[0]}.cover" if matching else f"{prefix}cover"
            given = rules[matching[0]].cover.kind if matching else cover.kind
            yield FieldFault(field=field, given=given, allowed=f"a cover that fits: {error}")

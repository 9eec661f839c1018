"""The settings in which contenders differ, and no others. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.figures.chart import Chart, Column, Table
from dashboard.figures.compare_sources import OWN, Contender
from dashboard.figures.paths import flatten


def settings_chart(contenders: Sequence[Contender], *, height_px: int | None = None) -> Chart:
    """Returns the table of what differs, a row a setting and a column a contender; as high as it needs, or as given."""
    rows = differing(contenders)
    columns = (Column("setting"), *(Column(contender.name) for contender in contenders))
    return Chart(
        name="settings that differ",
        title="Settings that differ",
        alt=f"{len(rows)} settings differ: {', '.join(rows) or 'none'}.",
        table=Table(columns, tuple((path, *row) for path, row in rows.items())),
        about="all others are equal" if rows else "none: these are the same settings",
        height_px=height_px or min(336, 88 + 33 * max(1, len(rows))),
    )


def differing(contenders: Sequence[Contender]) -> dict[str, tuple[str | None, ...]]:
    """Returns the settings in which contenders differ: dotted path to one text a contender, None where it has none.

    Labels are left out: a comparison writes its own id and variants there.
    """
    leaves = [_settings(contender) for contender in contenders]
    paths = dict.fromkeys(path for found in leaves for path in found)
    rows = {path: tuple(_text(found[path]) if path in found else None for found in leaves) for path in paths}
    return {path: row for path, row in rows.items() if len(set(row)) > 1}


def _settings(contender: Contender) -> dict[str, object]:
    if contender.job is None:
        return {}
    if contender.shadow is not None:
        return flatten(contender.shadow.model_dump(mode="json", exclude={"label"}))
    spec = contender.job.spec
    if contender.key == OWN:
        optimizer = spec.optimizer.model_dump(mode="json")
        return flatten({name: optimizer[name] for name in ("cover", "variant", "rules") if name in optimizer})
    return flatten(spec.model_dump(mode="json", exclude={"labels"}))


def _text(value: object) -> str:
    match value:
        case None | [] | {}:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:g}"
        case list():
            return ", ".join(map(_text, value))
        case dict():
            return " ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    return str(value)

"""Heatmaps side by side as a Streamlit component: one scale, one zoom, one crosshair, one step.

One Plotly figure with a subplot a panel, arranged by the width there is. It asks back by trigger values: ``step`` (an
object of ``step``, null for the newest, and ``isPlaying``) and ``show`` (``tightness`` or ``nu``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import assets
from dashboard.figures.chart import Table
from dashboard.figures.compare_maps import Panel, Scale

KEY = "side_by_side"


@dataclass(frozen=True)
class Steps:
    """Which steps can be shown: multiples of ``every`` up to ``newest``; ``shown`` None follows the newest."""

    newest: int
    every: int
    total: int
    shown: int | None


@dataclass(frozen=True)
class Maps:
    """What the component shows.

    Attributes:
        title: what the colours mean, with the unit.
        alt: the one sentence that somebody who cannot see the maps should hear.
        panels: left to right.
        scale: of all of them.
        show: ``tightness`` or ``nu``.
        steps: which can be shown.
        axes: what rows and columns are.
        table: a row a panel.
        revision: zoom is kept while this stays the same.
    """

    title: str
    alt: str
    panels: Sequence[Panel]
    scale: Scale
    show: str
    steps: Steps
    axes: tuple[str, str]
    table: Table
    revision: str

    def payload(self) -> dict[str, object]:
        """Returns the JSON that the component gets."""
        return {
            "title": self.title,
            "alt": self.alt,
            "panels": [panel.payload() for panel in self.panels],
            "scale": {"low": self.scale.low, "high": self.scale.high, "decades": self.scale.is_decades},
            "show": self.show,
            "steps": vars(self.steps),
            "axes": list(self.axes),
            "table": self.table.payload(),
            "revision": self.revision,
            "module": assets.url("side_by_side/maps.js"),
            "plotly": assets.url(assets.PLOTLY),
        }


def mount(maps: Maps, on_change: Mapping[str, Callable[[], None]]) -> None:
    """Shows ``maps``. ``on_change`` maps each trigger to what answers it."""
    component = st.components.v2.component(
        "sm3_scope_side_by_side",
        css=assets.text("kit/kit.css") + assets.text("side_by_side/maps.css"),
        js=assets.LOADER,
        isolate_styles=False,
    )
    callbacks: dict[str, Any] = {f"on_{name}_change": call for name, call in on_change.items()}
    component(key=KEY, data=maps.payload(), **callbacks)


def asked_for(trigger: str) -> Any:
    """Returns what ``trigger`` asks for, inside its callback."""
    state = st.session_state.get(KEY) or {}
    return (state.get(trigger) or {}).get("value")

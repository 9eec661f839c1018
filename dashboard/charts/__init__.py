"""One chart in a card as a Streamlit component: picture or table, CSV and PNG, drawn by `Plotly.react`.

What is drawn is a `dashboard.figures.chart.Chart`. The card outlives reruns, so zoom, hover, scroll and the choice
between picture and table stay; ``st.plotly_chart`` would mount a new one at each change (design, §8).
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import assets
from dashboard.figures.chart import Chart


def mount(chart: Chart, key: str, on_click: Callable[[], None] | None = None) -> None:
    """Shows ``chart``; ``key`` is unique in the page. ``on_click`` is called when a point or a row is pressed."""
    component = st.components.v2.component(
        "sm3_scope_chart",
        css=assets.text("kit/kit.css") + assets.text("charts/charts.css"),
        js=assets.LOADER,
        isolate_styles=False,
    )
    payload = chart.payload() | {
        "module": assets.url("charts/chart.js"),
        "plotly": assets.url(assets.PLOTLY),
    }
    component(key=key, data=payload, on_clicked_change=on_click or _nothing)


def clicked(key: str) -> str:
    """Returns the id of the point or row that was pressed in the chart ``key``, inside its callback."""
    state = st.session_state.get(key) or {}
    return str((state.get("clicked") or {}).get("id", ""))


def _nothing() -> None:
    """A press asks for nothing here."""

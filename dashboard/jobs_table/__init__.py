"""The list of jobs as a Streamlit component: filters, groups, rows, selection, menus, in the look of the live view.

Rows are kept by the job's id, so a refresh moves neither scroll nor focus, nor an open menu. It asks back by trigger
values: ``view`` (values of the address to change, and acts, each with the jobs it is for) and ``go`` (to another page,
with jobs).

A walk through ``assets/``: ``table.js`` mounts and hands on; ``toolbar.js`` has the filters, ``rows.js`` a job and
the heading of a group, ``row_menu.js`` what can be done with one job, ``bulk.js`` with those that are picked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard import assets

KEY = "jobs_table"


@dataclass(frozen=True)
class Told:
    """What the page says above the table.

    Attributes:
        notices: what just happened, or what in the address means nothing.
        problem: why the service could not be asked just now, or ''; the table shows what it last knew.
        seen: ``at`` of the newest ``view`` that was answered: until then the table goes by what it asked for.
    """

    notices: tuple[str, ...] = ()
    problem: str = ""
    seen: int = 0


def mount(
    table: Mapping[str, Any], told: Told, now: datetime, on_change: Mapping[str, Callable[[], None]]
) -> None:
    """Shows ``table``, as `dashboard.figures.jobs_list.table` computes it. ``on_change`` maps triggers to answers."""
    component = st.components.v2.component(
        "sm3_scope_jobs",
        css="".join(map(assets.text, ("kit/kit.css", "jobs_table/table.css", "jobs_table/drawer.css"))),
        js=assets.LOADER,
        isolate_styles=False,
    )
    payload = {
        **table,
        "notices": list(told.notices),
        "problem": told.problem,
        "now": now.isoformat(timespec="minutes"),
        "seen": told.seen,
        "module": assets.url("jobs_table/table.js"),
    }
    callbacks: dict[str, Any] = {f"on_{name}_change": call for name, call in on_change.items()}
    component(key=KEY, data=payload, **callbacks)


def asked(trigger: str) -> dict[str, Any]:
    """Returns what the table asks by ``trigger``, inside its callback."""
    state = st.session_state.get(KEY) or {}
    return dict(state.get(trigger) or {})

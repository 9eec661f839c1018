"""The table of jobs as a Streamlit component, in the look of the live view and with its words.

It asks back by trigger values: ``open`` and ``cancel``, each with a job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard import assets
from sm3.remote.wire import JobView

KEY = "jobs_table"


def mount(jobs: Iterable[JobView], now: datetime, on_change: Mapping[str, Callable[[], None]]) -> None:
    """Shows ``jobs`` in their order. ``on_change`` maps each trigger to what answers it."""
    component = st.components.v2.component(
        "sm3_scope_jobs",
        css=assets.text("kit/kit.css") + assets.text("jobs_table/table.css"),
        js=assets.LOADER,
        isolate_styles=False,
    )
    payload = {
        "jobs": [job.model_dump(mode="json") for job in jobs],
        "now": now.isoformat(timespec="minutes"),
        "module": assets.url("jobs_table/table.js"),
    }
    callbacks: dict[str, Any] = {f"on_{name}_change": call for name, call in on_change.items()}
    component(key=KEY, data=payload, **callbacks)


def asked(trigger: str) -> str:
    """Returns the id of the job that ``trigger`` asks about, inside its callback."""
    state = st.session_state.get(KEY) or {}
    return str((state.get(trigger) or {}).get("job", ""))

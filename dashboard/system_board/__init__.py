"""The System page's board as a Streamlit component: boxes and gauges that keep their places while numbers change.

It asks back by the trigger value ``open``, with a job.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import assets
from dashboard.figures.system import Board

KEY = "system_board"


def mount(board: Board, on_open: Callable[[], None]) -> None:
    """Shows ``board``; ``on_open`` is called when a job is pressed."""
    component = st.components.v2.component(
        "sm3_scope_system",
        css=assets.text("kit/kit.css") + assets.text("system_board/board.css"),
        js=assets.LOADER,
        isolate_styles=False,
    )
    payload = board.payload() | {"module": assets.url("system_board/board.js")}
    component(key=KEY, data=payload, on_open_change=on_open)


def asked() -> str:
    """Returns the id of the job that was pressed, inside the callback."""
    state = st.session_state.get(KEY) or {}
    return str((state.get("open") or {}).get("job", ""))

"""The System page: how is the service?"""

from __future__ import annotations

import time

import streamlit as st

from dashboard import session, system_board
from dashboard.figures.system import board
from dashboard.views import trouble
from sm3.remote.client import ServiceError
from sm3.remote.system_views import SystemView

_OPEN = "system/open"
_LAST = "system/last"
_REFRESH_S = 2


def page() -> None:
    """Draws the page."""
    if job_id := st.session_state.pop(_OPEN, ""):
        st.switch_page(st.session_state["pages"]["live"], query_params={"job": job_id})
    _board()


@st.fragment(run_every=_REFRESH_S)
def _board() -> None:
    """The board, fetched anew every two seconds; while nobody answers, the last one with its age."""
    if _OPEN in st.session_state:
        # Streamlit 1.67 shows an empty page when a fragment itself switches pages, so the whole page does.
        st.rerun()
    try:
        system = session.client().system()
    except session.Failure as error:
        last: tuple[SystemView, float] | None = st.session_state.get(_LAST)
        if last is None or isinstance(error, ServiceError):
            trouble.show(error)
            return
        age_s = time.monotonic() - last[1]
        system_board.mount(board(last[0], stale_s=age_s, why=session.sentence(error)), _open)
        return
    st.session_state[_LAST] = (system, time.monotonic())
    system_board.mount(board(system), _open)


def _open() -> None:
    st.session_state[_OPEN] = system_board.asked()

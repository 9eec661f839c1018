"""What every page shows when the service does not answer."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import session
from dashboard.figures.plain import plain
from sm3.remote.client import ServiceError, Unreachable


def show(error: Exception) -> None:
    """Shows one sentence on what is wrong and a button to try again."""
    with st.container(key="notice"):
        st.markdown(
            "# The service does not answer." if isinstance(error, Unreachable) else "# The service refused."
        )
        st.markdown(plain(session.sentence(error).replace("`", "")))
        st.button("Try again", type="primary")


def is_missing(error: Exception) -> bool:
    """Whether the service answered that there is no such thing."""
    return isinstance(error, ServiceError) and error.problem.status == 404


def missing(error: Exception, label: str, on_click: Callable[[], None]) -> None:
    """Shows that what the address names is not there, and a button that leads on."""
    with st.container(key="notice"):
        st.markdown("# There is no such job (any more).")
        st.markdown(plain(session.sentence(error)))
        st.button(label, type="primary", on_click=on_click)

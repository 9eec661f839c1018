"""What every page shows when the service does not answer."""

from __future__ import annotations

import streamlit as st

from dashboard import session
from dashboard.figures.plain import plain
from sm3.remote.client import Unreachable


def show(error: Exception) -> None:
    """Shows one sentence on what is wrong and a button to try again."""
    with st.container(key="notice"):
        st.markdown(
            "# The service does not answer." if isinstance(error, Unreachable) else "# The service refused."
        )
        st.markdown(plain(session.sentence(error)))
        st.button("Try again", type="primary")

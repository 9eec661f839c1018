"""The System page: how is the service?"""

from __future__ import annotations

import streamlit as st


def page() -> None:
    """Draws the page."""
    st.markdown("# System")

"""The Learn page: lessons in how cover sets shrink optimizer memory."""

from __future__ import annotations

import streamlit as st


def page() -> None:
    """Draws the page."""
    st.markdown("# Learn")

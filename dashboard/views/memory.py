"""The Memory page: where did the bytes go?"""

from __future__ import annotations

import streamlit as st


def page() -> None:
    """Draws the page."""
    st.markdown("# Memory")

"""The Compare page: which cover loses what?"""

from __future__ import annotations

import streamlit as st


def page() -> None:
    """Draws the page."""
    st.markdown("# Compare")

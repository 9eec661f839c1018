"""What Streamlit runs for each visitor: the frame around the pages. `dashboard.__main__` starts it."""

from __future__ import annotations

import streamlit as st

from dashboard import sign_in, theme
from dashboard.views import PATHS, compare, jobs, learn, live, memory, system

st.set_page_config(page_icon=theme.ICON, layout="wide")
st.logo(theme.LOGO, size="small")
st.html(theme.CSS)
if sign_in.is_due():
    st.set_page_config(page_title="Sign in · SM3 Scope")
    # At each page's address: Streamlit covers one that it does not know with "Page not found".
    asking = [
        st.Page(sign_in.page, title="Sign in", url_path=path, default=path == PATHS[0]) for path in PATHS
    ]
    st.navigation(asking, position="hidden").run()
    st.stop()
PAGES = {
    "live": st.Page(live.page, title="Live", url_path="live", default=True),
    "compare": st.Page(compare.page, title="Compare", url_path="compare"),
    "memory": st.Page(memory.page, title="Memory", url_path="memory"),
    "learn": st.Page(learn.page, title="Learn", url_path="learn"),
    "jobs": st.Page(jobs.page, title="Jobs", url_path="jobs"),
    "system": st.Page(system.page, title="System", url_path="system"),
}
st.session_state["pages"] = PAGES
current = st.navigation(list(PAGES.values()), position="top")
sign_in.way_out()
st.set_page_config(page_title=f"{current.title} · SM3 Scope")
current.run()

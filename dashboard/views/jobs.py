"""The Jobs page: what runs, what ran, and a drawer to launch more or to look into one. Its address says all of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard import jobs_table, session
from dashboard.figures import jobs_query
from dashboard.figures.jobs_list import table
from dashboard.figures.jobs_query import JobsQuery
from dashboard.jobs_table import Told
from dashboard.views import job_panel, launch_panel, trouble
from sm3.remote.client import Client, Unreachable

_GO = "jobs/go"
_NOTICE = "jobs/notice"
_LAST = "jobs/last"
_PANEL = "jobs/panel"
_SEEN = "jobs/seen"
_ACTED = "jobs/acted"
_REFRESH_S = 2
_PAGE, _WHEN_GROUPED = 100, 500
_SAID = {"pause": "Asked to pause", "resume": "Queued again", "cancel": "Asked to stop", "delete": "Deleted"}


def page() -> None:
    """Draws the page."""
    if go := st.session_state.pop(_GO, None):
        to, address = go
        st.switch_page(st.session_state["pages"][to], query_params=address)
    query, _ = jobs_query.read(st.query_params.to_dict())
    st.session_state[_PANEL] = query.panel
    with st.container(key="jobs_page"):
        _list()
    kind, job_id = query.panel
    if kind:
        with st.container(key="jobs_drawer"):
            st.button("Close", key="drawer/close", on_click=_close)
            if kind == "job":
                job_panel.draw(job_id)
            else:
                launch_panel.draw(job_id)


@st.fragment(run_every=_REFRESH_S)
def _list() -> None:
    """The list, fetched anew every two seconds."""
    query, unknown = jobs_query.read(st.query_params.to_dict())
    if _GO in st.session_state or st.session_state[_PANEL] != query.panel:
        # Streamlit 1.67 shows an empty page when a fragment itself switches pages, so the whole page does.
        st.rerun()
    problem = ""
    try:
        shown = _fetch(session.client(), query)
    except session.Failure as error:
        last = st.session_state.get(_LAST)
        if last is None or not isinstance(error, Unreachable):
            trouble.show(error)
            return
        shown, problem = last | {"query": table((), query, older=None)["query"]}, session.sentence(error)
    st.session_state[_LAST] = shown
    notice = st.session_state.get(_NOTICE, "")
    told = Told(tuple(filter(None, (notice, *map(str, unknown)))), problem, st.session_state.get(_SEEN, 0))
    jobs_table.mount(shown, told, datetime.now(UTC), {"view": _view, "go": _go})


def _fetch(client: Client, query: JobsQuery) -> dict[str, Any]:
    found = client.jobs(
        after=query.after or None,
        limit=_WHEN_GROUPED if query.group else _PAGE,
        state=query.states or None,
        recipe=query.recipe or None,
        label=query.label or None,
        comparison=query.comparison or None,
        text=query.q or None,
    )
    return table(found.items, query, older=found.next, scope=session.scope())


def _view() -> None:
    """Puts what the table asks for into the address, in one step of its history, and does what it asks to do."""
    asked = jobs_table.asked("view")
    st.session_state.pop(_NOTICE, None)
    st.session_state[_SEEN] = asked["at"]
    _go_to({str(name): str(value) for name, value in asked["changes"].items()})
    for act in asked["acts"]:  # sent again until it is answered, done once
        if act["id"] > st.session_state.get(_ACTED, 0):
            st.session_state[_ACTED] = act["id"]
            _act(str(act["action"]), [str(job_id) for job_id in act["jobs"]])


def _go_to(changes: dict[str, str]) -> None:
    wanted = st.query_params.to_dict() | changes
    st.query_params.from_dict({name: value for name, value in wanted.items() if value})


def _act(action: str, jobs: Sequence[str]) -> None:
    """Does ``action`` job by job, and keeps a sentence about it."""
    client = session.client()
    calls = {
        "pause": client.pause,
        "resume": client.resume,
        "cancel": client.cancel,
        "delete": client.delete,
    }
    done, refused = 0, []
    for job_id in jobs:
        try:
            calls[action](job_id)
            done += 1
        except session.Failure as error:
            refused.append(session.sentence(error))
    said = [f"{_SAID[action]}: {done} {'job' if done == 1 else 'jobs'}."] if done else []
    if refused:
        said.append(f"{len(refused)} refused: {refused[0]}")
    st.session_state[_NOTICE] = " ".join(said)


def _go() -> None:
    """Leaves for the page that the table asks for."""
    asked = jobs_table.asked("go")
    jobs = [str(job_id) for job_id in asked.get("jobs", ())]
    to = str(asked.get("page"))
    st.session_state[_GO] = (
        to,
        {"source": "jobs", "job": jobs} if to == "compare" else {"job": jobs[0]},
    )


def _close() -> None:
    _go_to(dict.fromkeys(("launch", "job", "clone", "tab"), ""))

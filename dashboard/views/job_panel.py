"""The drawer that looks into one job: its life, log, checkpoints, settings, notes and labels."""

from __future__ import annotations

import streamlit as st

from dashboard import session
from dashboard.figures.form_text import read_pairs, write_pairs
from dashboard.figures.job_story import life, settings, stored
from dashboard.figures.labels import job_label
from dashboard.figures.plain import plain
from sm3.remote.job_specs import JobPatch
from sm3.remote.wire import JobView

_TOLD = "job_panel/told"
_REFRESH_S = 2
_TABS = ("life", "log", "notes", "checkpoints", "settings")


def draw(job_id: str) -> None:
    """Draws the drawer for the job ``job_id``."""
    try:
        job = session.client().job(job_id)
    except session.Failure as error:
        st.markdown("## Job")
        st.markdown(plain(session.sentence(error)))
        return
    st.markdown(f"## {plain(job_label(job))}")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if session.may_launch():
            st.button("Clone and change", key="job_panel/clone", on_click=_clone, args=(job_id,))
        st.page_link(st.session_state["pages"]["live"], label="Open in Live", query_params={"job": job_id})
    shown = st.segmented_control(
        "What to show",
        _TABS,
        default=_TABS[0],
        required=True,
        key="tab",
        bind="query-params",
        label_visibility="collapsed",
    )
    match shown:
        case "log":
            _log(job_id)
        case "notes":
            _notes(job_id)
        case "checkpoints":
            _checkpoints(job_id)
        case "settings":
            st.code(settings(job), language="json", wrap_lines=True)
        case _:
            _life(job_id)


def _clone(job_id: str) -> None:
    st.query_params.pop("job", None)
    st.query_params["clone"] = job_id


@st.fragment(run_every=_REFRESH_S)
def _life(job_id: str) -> None:
    try:
        job, moves = session.client().job(job_id), session.client().transitions(job_id)
    except session.Failure as error:
        st.markdown(plain(session.sentence(error)))
        return
    st.markdown("\n".join(f"- {plain(line)}" for line in life(job, moves)))


@st.fragment(run_every=_REFRESH_S)
def _log(job_id: str) -> None:
    try:
        text = session.client().log(job_id)
    except session.Failure as error:
        st.markdown(plain(session.sentence(error)))
        return
    if text:
        st.code(text, language=None, wrap_lines=True, height=560)
    else:
        st.markdown("The job's worker has written nothing so far.")


@st.fragment
def _notes(job_id: str) -> None:
    try:
        job = session.client().job(job_id)
    except session.Failure as error:
        st.markdown(plain(session.sentence(error)))
        return
    fixed = not session.may_launch()
    notes = st.text_area(
        "Notes", value=job.notes, key=f"notes/{job_id}", height=120, max_chars=10_000, disabled=fixed
    )
    labels = st.text_area(
        "Labels, one `key: value` a line",
        value=write_pairs(job.labels),
        key=f"labels/{job_id}",
        height=120,
        disabled=fixed,
    )
    priority = st.number_input(
        "Priority among queued jobs",
        -100,
        100,
        value=job.priority,
        step=1,
        key=f"priority/{job_id}",
        disabled=fixed,
    )
    if fixed:
        st.markdown("You may look, not change.")
        return
    st.button("Save", type="primary", on_click=_save, args=(job, notes, labels, priority))
    if told := st.session_state.pop(_TOLD, ""):
        st.markdown(told)


def _save(job: JobView, notes: str, labels: str, priority: int) -> None:
    """Sends what was changed here, and nothing that somebody else may have changed meanwhile."""
    try:
        wanted = {"labels": read_pairs(labels), "notes": notes, "priority": priority}
        before = {"labels": job.labels, "notes": job.notes, "priority": job.priority}
        patch = {name: value for name, value in wanted.items() if value != before[name]}
        if patch:
            session.client().change(job.id, JobPatch.model_validate(patch))
    except (*session.Failure, ValueError) as error:
        st.session_state[_TOLD] = f":red[{plain(session.sentence(error))}]"
    else:
        st.session_state[_TOLD] = "Saved."


def _checkpoints(job_id: str) -> None:
    try:
        found = session.client().checkpoints(job_id)
    except session.Failure as error:
        st.markdown(plain(session.sentence(error)))
        return
    st.markdown("\n".join(f"- {plain(line)}" for line in stored(found)))

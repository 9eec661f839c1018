"""The Jobs page: what runs, what ran, and a form to launch more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import streamlit as st
from pydantic import ValidationError

from dashboard import jobs_table, session
from dashboard.figures.equivalents import equivalents
from dashboard.figures.form import MAIN, Field, Kind, faults, fields, spec_of
from dashboard.figures.labels import spec_label, summary
from dashboard.figures.paths import Json
from dashboard.figures.plain import plain
from dashboard.views import trouble
from sm3.remote.client import ServiceError, Unreachable
from sm3.remote.job_specs import JobSpec
from sm3.remote.settings import ClientSettings

_OPEN = "jobs/open"
_PROBLEM = "jobs/problem"
_LAUNCHED = "jobs/launched"
_REFRESH_S = 2


def page() -> None:
    """Draws the page."""
    if job_id := st.session_state.pop(_OPEN, ""):
        st.switch_page(st.session_state["pages"]["live"], query_params={"job": job_id})
    try:
        session.client().jobs(limit=1)
    except session.Failure as error:
        trouble.show(error)
        return
    with st.container(key="jobs_page"):
        table, form = st.columns([1.7, 1], gap="medium")
        with table:
            _table()
        with form, st.container(border=True):
            _form()


@st.fragment(run_every=_REFRESH_S)
def _table() -> None:
    """The table, fetched anew every two seconds."""
    if _OPEN in st.session_state:
        # Streamlit 1.67 shows an empty page when a fragment itself switches pages, so the whole page does.
        st.rerun()
    try:
        jobs = session.client().jobs(limit=100).items
    except session.Failure as error:
        st.markdown("# Jobs")
        st.markdown(plain(session.sentence(error)))
        return
    st.markdown(f"# {summary(jobs)}")
    if problem := st.session_state.get(_PROBLEM, ""):
        st.markdown(plain(problem))
    if jobs:
        jobs_table.mount(jobs, datetime.now(UTC), {"open": _open, "cancel": _cancel})
    else:
        st.markdown("Launch one with the form: every field has a default that works.")


def _open() -> None:
    st.session_state[_OPEN] = jobs_table.asked("open")


def _cancel() -> None:
    st.session_state[_PROBLEM] = ""
    try:
        session.client().cancel(jobs_table.asked("cancel"))
    except session.Failure as error:
        st.session_state[_PROBLEM] = session.sentence(error)


@st.fragment
def _form() -> None:
    """The form; a fragment, so that typing in it leaves the table alone."""
    st.markdown("### Launch a job")
    chosen = {
        key.removeprefix("form/"): str(value)
        for key, value in st.session_state.items()
        if isinstance(key, str) and key.startswith("form/") and isinstance(value, str)
    }
    form = fields(chosen)
    values = _inputs([field for field in form if field.path in MAIN])
    with st.expander("More settings"):
        values |= _inputs([field for field in form if field.path not in MAIN])
    try:
        spec = spec_of(values)
    except ValidationError as error:
        for fault in faults(error):
            st.markdown(f":red[{plain(fault)}]")
        return
    st.button("Launch", type="primary", width="stretch", on_click=_launch, args=(spec,))
    _launched()
    _show_equivalents(spec)


def _inputs(form: list[Field]) -> dict[str, Json]:
    """Draws one input a field, two a row; returns their values by path."""
    values: dict[str, Json] = {}
    for start in range(0, len(form), 2):
        for column, field in zip(st.columns(2, gap="small"), form[start : start + 2], strict=False):
            with column:
                values[field.path] = _input(field)
    return values


def _input(field: Field) -> Json:
    key, about = f"form/{field.path}", field.description or None
    match field.kind:
        case Kind.CHOICE:
            index = field.options.index(field.default) if field.default in field.options else 0
            return st.selectbox(field.path, field.options, index=index, key=key, help=about)
        case Kind.MANY:
            return st.multiselect(field.path, field.options, default=field.default, key=key, help=about)
        case Kind.BOOL:
            return st.toggle(field.path, value=bool(field.default), key=key, help=about)
        case Kind.INT:
            return st.number_input(field.path, key=key, help=about, step=1, **_numbers(field, int))
        case Kind.FLOAT:
            return st.number_input(
                field.path, key=key, help=about, step=None, format="%g", **_numbers(field, float)
            )


def _numbers(field: Field, number: type[int] | type[float]) -> dict[str, Any]:
    def of(value: Any) -> Any:
        return None if value is None else number(value)

    return {"value": of(field.default), "min_value": of(field.low), "max_value": of(field.high)}


def _launch(spec: JobSpec) -> None:
    st.session_state[_PROBLEM] = ""
    try:
        job = session.client().launch(spec)
    except ServiceError as error:
        told = [f"{fault.field}: {fault.allowed} (given: {fault.given!r})" for fault in error.problem.errors]
        st.session_state[_PROBLEM] = " ".join([session.sentence(error), *told])
    except Unreachable as error:
        st.session_state[_PROBLEM] = session.sentence(error)
    else:
        st.session_state[_LAUNCHED] = (job.id, spec_label(spec))


def _launched() -> None:
    """Says what the last press of the button did."""
    if problem := st.session_state.get(_PROBLEM, ""):
        st.markdown(f":red[{plain(problem)}]")
    elif launched := st.session_state.get(_LAUNCHED):
        job_id, label = launched
        st.page_link(
            st.session_state["pages"]["live"],
            label=f"Launched {label}: watch it",
            query_params={"job": job_id},
        )


def _show_equivalents(spec: JobSpec) -> None:
    same = equivalents(spec, ClientSettings().url)
    curl, python, cli = st.tabs(["curl", "Python", "command line"])
    curl.code(same.curl, language="bash", wrap_lines=True)
    python.code(same.python, language="python", wrap_lines=True)
    cli.code(same.cli, language="bash", wrap_lines=True)

"""The drawer that launches: a form built from the API's own schema, blank or filled with an earlier job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import session
from dashboard.figures.equivalents import Equivalents, cloned, equivalents
from dashboard.figures.form import (
    BLANK,
    Field,
    Kind,
    Reading,
    change,
    faults_at,
    fields,
    read,
    rows,
    sections,
)
from dashboard.figures.form_labels import heading, if_empty, label
from dashboard.figures.labels import job_label, spec_label
from dashboard.figures.paths import Json
from dashboard.figures.plain import plain
from sm3.remote.client import ServiceError
from sm3.remote.job_specs import CloneSpec, JobSpec
from sm3.remote.settings import ClientSettings
from sm3.remote.wire import JobView

_REFUSED = "launch/refused"
_LAUNCHED = "launch/launched"


@dataclass(frozen=True)
class _Refusal:
    """Why the service did not take a job: in a sentence, and field by field."""

    sentence: str
    faults: Mapping[str, tuple[str, ...]]


def draw(job_id: str = "") -> None:
    """Draws the form, blank or filled with the job ``job_id``; whoever may not launch is told so."""
    if not session.may_launch():
        st.markdown(f"## {'Clone and change' if job_id else 'Launch a job'}")
        st.markdown(
            "You may look, not launch. An admin can make a token that may: "
            "`sm3 token create NAME --scope launch`."
        )
        return
    if not job_id:
        st.markdown("## Launch a job")
        _form(BLANK, None)
        return
    try:
        job = session.client().job(job_id)
    except session.Failure as error:
        st.markdown("## Clone and change")
        st.markdown(plain(session.sentence(error)))
        return
    st.markdown("## Clone and change")
    st.markdown(plain(f"A new job like {job_label(job)}, from its first step. Only what you change is sent."))
    _form(_as_now(job), job)


def _as_now(job: JobView) -> JobSpec:
    """Returns the job's spec with the labels and priority it has by now: what a clone starts from."""
    return job.spec.model_copy(update={"labels": job.labels, "priority": job.priority})


@st.fragment
def _form(start: JobSpec, original: JobView | None) -> None:
    """The form; a fragment, so that typing in it leaves the table alone."""
    prefix = f"form/{original.id}/" if original else "form/"
    chosen = {
        key.removeprefix(prefix): value
        for key, value in st.session_state.items()
        if isinstance(key, str) and key.startswith(prefix)
    }
    form = fields(chosen, start)
    reading = read(form, {field.path: chosen.get(field.path, field.default) for field in form})
    refusal: _Refusal | None = st.session_state.pop(_REFUSED, None)
    faults = refusal.faults if refusal else reading.faults
    for name, part in sections(form).items():
        if name == "main":
            _inputs(part, prefix, faults)
            continue
        wrong = sum(field.path in faults for field in part)
        words = f"{heading(name)} · {wrong} to mend" if wrong else heading(name)
        with st.expander(words, key=f"{prefix}section/{name}"):
            _inputs(part, prefix, faults)
    for fault in faults.get("", ()):
        st.markdown(f":red[{plain(fault)}]")
    if refusal:
        st.markdown(f":red[{plain(refusal.sentence)}]")
    if reading.spec is None:
        st.markdown(":red[Mend what is marked to launch.]")
        return
    patch = change(start.model_dump(mode="json"), reading.spec.model_dump(mode="json")) if original else {}
    st.button(
        "Launch the clone" if original else "Launch",
        key="launch/button",
        type="primary",
        width="stretch",
        on_click=_launch,
        args=(form, reading, original, patch),
    )
    _launched()
    url = ClientSettings().url
    _show(cloned(original.id, patch, url) if original else equivalents(reading.spec, url))


def _inputs(form: Sequence[Field], prefix: str, faults: Mapping[str, Sequence[str]]) -> None:
    """Draws one input a field, with what is wrong with it below."""
    for row in rows(form):
        count = 1 if row[0].kind is Kind.MANY else 2
        for column, field in zip(st.columns(count, gap="small"), row, strict=False):
            with column:
                _input(field, f"{prefix}{field.path}", label(field.path))
                for fault in faults.get(field.path, ()):
                    st.markdown(f":red[{plain(fault)}]")


def _input(field: Field, key: str, name: str) -> Json:
    about = f"`{field.path}`" + (f": {field.description}" if field.description else "")
    match field.kind:
        case Kind.CHOICE:
            index = field.options.index(field.default) if field.default in field.options else 0
            return st.selectbox(name, field.options, index=index, key=key, help=about)
        case Kind.MANY:
            return list(
                st.pills(
                    name,
                    field.options,
                    selection_mode="multi",
                    default=field.default,
                    key=key,
                    help=about,
                    wrap=True,
                )
            )
        case Kind.BOOL:
            return st.toggle(name, value=bool(field.default), key=key, help=about)
        case Kind.INT | Kind.COUNT:
            named = f"{name}, how many" if field.kind is Kind.COUNT else name
            return st.number_input(named, key=key, help=about, step=1, **_numbers(field, int))
        case Kind.FLOAT:
            return st.number_input(
                name, key=key, help=about, step=None, format="%g", **_numbers(field, float)
            )
        case Kind.PAIRS:
            return st.text_area(name, value=field.default, key=key, help=about, height=80)
        case Kind.TEXT | Kind.JSON | Kind.VALUES:
            return st.text_input(name, value=field.default, key=key, help=about, placeholder=_hint(field))


def _hint(field: Field) -> str | None:
    if field.kind is Kind.JSON:
        return "JSON"
    return "one, or more with commas" if field.kind is Kind.VALUES else None


def _numbers(field: Field, number: type[int] | type[float]) -> dict[str, Any]:
    def of(value: Any) -> Any:
        return None if value is None else number(value)

    empty = if_empty(field.description) if field.default is None else None
    bounds = {"min_value": of(field.low), "max_value": of(field.high)}
    return {"value": of(field.default), "placeholder": empty, **bounds}


def _launch(
    form: Sequence[Field], reading: Reading, original: JobView | None, patch: dict[str, Json]
) -> None:
    assert reading.spec is not None
    st.session_state.pop(_LAUNCHED, None)
    try:
        client = session.client()
        if original:
            job = client.clone(original.id, CloneSpec.model_validate({"change": patch}))
        else:
            job = client.launch(reading.spec)
    except session.Failure as error:
        found = error.problem.errors if isinstance(error, ServiceError) else ()
        st.session_state[_REFUSED] = _Refusal(session.sentence(error), faults_at(form, found))
    else:
        st.session_state[_LAUNCHED] = (job.id, spec_label(reading.spec))


def _launched() -> None:
    """Says what the last press of the button did."""
    if launched := st.session_state.get(_LAUNCHED):
        job_id, label = launched
        st.page_link(
            st.session_state["pages"]["live"],
            label=f"Launched {label}: watch it",
            query_params={"job": job_id},
        )


def _show(same: Equivalents) -> None:
    curl, python, cli = st.tabs(["curl", "Python", "command line"])
    curl.code(same.curl, language="bash", wrap_lines=True)
    python.code(same.python, language="python", wrap_lines=True)
    cli.code(same.cli, language="bash", wrap_lines=True)

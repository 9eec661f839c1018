"""The Memory page: where did the bytes go?

Its address holds all of it: ``model`` or ``job``, and each control that is not at its default.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import charts, session
from dashboard.figures import memory, memory_fit, memory_job, memory_tensors
from dashboard.figures.cover_words import COMMON
from dashboard.figures.labels import job_label
from dashboard.figures.memory import Answers
from dashboard.figures.memory_question import MOMENTA, SAME, TOKENS, WEIGHTS, Question, WhatIf, question
from dashboard.figures.plain import plain
from dashboard.views import trouble
from sm3.remote.client import Client, ServiceError, Unreachable
from sm3.remote.ledger_specs import LedgerSpec
from sm3.remote.ledger_views import LedgerAnswer, ModelView
from sm3.remote.wire import AdvisedTensor, JobView

_DEFAULT_MODEL = "bert-large"
_PICK = "memory/pick"
_LAST = "memory/last"
_FOUND = "memory/found"
_JOB = "job/"
_VIEWS = ("state", "peak")
_KEPT_S = 600
_TIMED = "memory/timed"
_REFRESH_S = 10


def page() -> None:
    """Draws the page."""
    with st.container(key="memory_page"):
        is_timed = st.session_state.get(_TIMED, bool(st.query_params.get("job")))
        st.fragment(_refreshed, run_every=_REFRESH_S if is_timed else None)(is_timed)


def _refreshed(is_timed: bool) -> None:
    """Everything; a fragment, so that a changed control redraws nothing else."""
    may_change = _memory()
    if may_change != is_timed:
        st.session_state[_TIMED] = may_change
        st.rerun()  # the whole page, so that its timer stops or starts


def _memory() -> bool:
    """Returns whether asking again may tell something new: what a job measured changes while it trains."""
    title, strip = st.container(), st.container(key="memory_strip", horizontal=True)
    client = session.client()
    away: Unreachable | None = None
    try:
        found = (_models(client), _asked_job(client), client.jobs(limit=50).items)
    except session.Failure as error:
        if _FOUND not in st.session_state or isinstance(error, ServiceError):
            _instead(error, title)
            return _may_pass(error)
        # The controls stay: Streamlit takes what is not drawn out of the address.
        found, away = st.session_state[_FOUND], error
    st.session_state[_FOUND] = found
    models, job, listed = found
    with strip:
        model = _pick(models, listed, job)
        what_if = _controls(job)
        whole, tiles = _views()
    try:
        advised = _advice(client, job)
        answers = _answers(client, question(what_if, model=model, job=job, advised=advised), job)
        if not memory_fit.fitting(answers):
            with strip:
                what_if = _ask_activations(what_if)
            if what_if.activations_mib:
                asked = question(what_if, model=model, job=job, advised=advised)
                answers = _answers(client, asked, job)
    except (ValueError, *session.Failure) as error:
        _instead(error, title)
        return _may_pass(error)
    if away is not None:
        _instead(away, title)
        return True
    st.session_state[_LAST] = (answers, what_if, whole, tiles)
    with title:
        _heading(answers)
    _draw(answers, what_if, whole=whole, tiles=tiles)
    return job is not None and not job.state.is_final


def _may_pass(error: Exception) -> bool:
    """Whether the same question may be answered later: nobody answered, or the service itself failed."""
    return isinstance(error, Unreachable) or (
        isinstance(error, ServiceError) and error.problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _instead(error: Exception, title: DeltaGenerator) -> None:
    """Says what is wrong; what was last drawn stays below, and says that it is not what was asked for."""
    last = st.session_state.get(_LAST)
    is_a_fault = isinstance(error, ValueError) or (
        isinstance(error, ServiceError) and error.problem.status in {404, 422}
    )
    if not is_a_fault and (last is None or isinstance(error, ServiceError)):
        trouble.show(error)
        return
    said = (
        f":red[✕ {plain(_faults(error))}]"
        if is_a_fault
        else f":orange-badge[▲ STALE] {plain(session.sentence(error))}"
    )
    if last is None:
        with title:
            st.markdown("# Where did the bytes go?")
            st.markdown(said)
            st.page_link(st.session_state["pages"]["memory"], label=f"Show {_DEFAULT_MODEL}", query_params={})
        return
    answers, what_if, whole, tiles = last
    with title:
        _heading(answers, f"{said} Below is the last that was answered.")
    _draw(answers, what_if, whole=whole, tiles=tiles)


def _faults(error: Exception) -> str:
    if not isinstance(error, ServiceError) or not error.problem.errors:
        return str(error)
    return " ".join(
        f"{fault.field}: {fault.allowed} (given: {fault.given!r})." for fault in error.problem.errors[:3]
    )


# ── what is asked


def _asked_job(client: Client) -> JobView | None:
    job_id = st.query_params.get("job")
    return client.job(job_id) if job_id else None


def _pick(models: tuple[ModelView, ...], jobs: tuple[JobView, ...], job: JobView | None) -> str:
    """Draws the list of jobs and models; returns the model's name, '' for a job."""
    listed = jobs if job is None or any(each.id == job.id for each in jobs) else (job, *jobs)
    labels = {f"{_JOB}{each.id}": f"job: {job_label(each)}" for each in listed}
    labels |= {each.name: f"{each.name} · {_short_count(each.num_parameters)}" for each in models}
    model = "" if job is not None else st.query_params.get("model", _DEFAULT_MODEL)
    chosen = f"{_JOB}{job.id}" if job is not None else model
    if chosen not in labels:
        labels[chosen] = f"{chosen[:60]}: unknown"
    st.session_state[_PICK] = chosen
    st.selectbox(
        "Model or job",
        list(labels),
        key=_PICK,
        format_func=lambda key: labels.get(key, key),
        on_change=_picked,
        width=232,
    )
    return model


def _picked() -> None:
    chosen = st.session_state[_PICK]
    if chosen.startswith(_JOB):
        st.query_params.pop("model", None)
        st.query_params["job"] = chosen.removeprefix(_JOB)
    else:
        st.query_params.pop("job", None)
        st.query_params["model"] = chosen


def _short_count(count: int) -> str:
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return str(count)


def _controls(job: JobView | None) -> WhatIf:
    same = (SAME,) if job is not None else ()
    cover = st.selectbox(
        "Cover",
        (*same, *COMMON),
        key="cover",
        bind="query-params",
        accept_new_options=True,
        width=160,
        help="Pick one, or type another such as blocks 32 or slices + blocks 16.",
    )
    momentum = st.selectbox("Momentum", (*same, *MOMENTA), key="momentum", bind="query-params", width=120)
    weights = st.selectbox("Weights", tuple(WEIGHTS), key="weights", bind="query-params", width=136)
    rules = st.text_input(
        "Rules",
        key="rules",
        bind="query-params",
        placeholder="*embed* = rows; *norm* = whole",
        width=208,
        help="A glob on tensor names, =, and a cover; the first that matches wins, and Cover serves the rest.",
    )
    memory_gib = st.number_input(
        "Device, GiB",
        0.1,
        100_000.0,
        16.0,
        step=None,
        format="%g",
        key="memory",
        bind="query-params",
        width=88,
    )
    tokens = st.number_input(
        "Tokens",
        1,
        2**20,
        None,
        step=1,
        key="tokens",
        bind="query-params",
        width=88,
        placeholder="its own" if job else str(TOKENS),
    )
    return WhatIf(cover or "", momentum, weights, rules or "", memory_gib or 16.0, tokens)


def _ask_activations(what_if: WhatIf) -> WhatIf:
    given = st.number_input(
        "Sample, MiB", 0.001, 1e9, None, step=None, format="%g", key="sample", bind="query-params", width=88
    )
    return WhatIf(**{**vars(what_if), "activations_mib": given})


def _views() -> tuple[bool, memory_tensors.Tiles]:
    bars = st.segmented_control(
        "Bars", _VIEWS, default="state", required=True, key="bars", bind="query-params"
    )
    tiles = st.segmented_control(
        "Tiles",
        get_args(memory_tensors.Tiles),
        default="× saved",
        required=True,
        key="tiles",
        bind="query-params",
    )
    return bars == "peak", tiles or "× saved"


# ── what is answered


@st.cache_data(show_spinner=False, max_entries=16, ttl=_KEPT_S, hash_funcs={Client: id})
def _models(client: Client) -> tuple[ModelView, ...]:
    return client.models()


@st.cache_data(show_spinner=False, max_entries=256, ttl=_KEPT_S, hash_funcs={Client: id, LedgerSpec: str})
def _ledger(client: Client, spec: LedgerSpec) -> LedgerAnswer:
    return client.ledger(spec)


def _advice(client: Client, job: JobView | None) -> tuple[AdvisedTensor, ...]:
    is_advised = (
        job is not None and getattr(getattr(job.spec.optimizer, "cover", None), "kind", "") == "advise"
    )
    return client.advice(job.id) if job is not None and is_advised else ()


def _answers(client: Client, asked: Question, job: JobView | None) -> Answers:
    try:
        detail, rest = _ledger(client, asked.detail), _ledger(client, asked.rest)
    except ServiceError as error:
        if not any(fault.field.startswith("fit.activation") for fault in error.problem.errors):
            raise
        detail, rest = _ledger(client, asked.without_fit.detail), _ledger(client, asked.without_fit.rest)
    if job is None:
        return Answers(detail, rest, asked, detail.model.title)
    return Answers(detail, rest, asked, job_label(job), client.job_ledger(job.id), client.tensors(job.id))


# ── what is drawn


def _heading(answers: Answers, instead: str = "") -> None:
    """The message, and below it what it is about or, ``instead`` of that, what is wrong: so that nothing moves."""
    st.markdown(f"# {plain(memory.headline(answers))}")
    st.caption(instead or plain(memory.about(answers)))


def _draw(answers: Answers, what_if: WhatIf, *, whole: bool, tiles: memory_tensors.Tiles) -> None:
    name = answers.model.name or "model"
    left, right = st.columns([1.35, 1], gap="small")
    with left:
        charts.mount(memory.bars(answers, whole=whole), "memory/bars")
    with right:
        if answers.job is None:
            charts.mount(memory_fit.chart(answers, what_if.memory_gib), "memory/fits")
        else:
            charts.mount(memory_job.comparison(answers.job, name), "memory/measured")
    with st.container(key="memory_within"):
        left, right = st.columns([1, 1.4], gap="small")
        with left:
            charts.mount(memory_tensors.treemap(answers, tiles, whole=whole, name=name), "memory/treemap")
        with right:
            charts.mount(memory_tensors.table(answers, name=name), "memory/tensors")
    if answers.job is not None:
        left, right = st.columns([1.35, 1], gap="small")
        with left, st.container(border=True, key="memory_findings"):
            _findings(answers)
        with right:
            charts.mount(memory_fit.chart(answers, what_if.memory_gib), "memory/fits")


def _findings(answers: Answers) -> None:
    assert answers.job is not None
    found = memory_job.findings(answers.job)
    st.markdown("### Why it did not shrink more")
    if not found:
        waits = answers.job.measured is None
        st.markdown(
            "After the first step." if waits else "Nothing stands out: the state is what the covers say."
        )
    for title, says, remedy in found:
        st.markdown(f"**{plain(title)}:** {plain(says)}.  \n→ {plain(remedy)}.")

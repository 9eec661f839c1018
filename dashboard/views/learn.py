"""The Learn page: eight lessons, one idea each, every number asked of the service."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard import charts, session
from dashboard.figures.chart import Chart
from dashboard.figures.plain import plain
from dashboard.lesson import BOARD, HEAD, asked_for, mount_board, mount_head
from dashboard.lessons.address import OWN, Asked, changed, read
from dashboard.lessons.registry import LESSONS
from dashboard.lessons.scene import Scene, Unknown
from dashboard.views import trouble
from sm3.remote.client import ServiceError
from sm3.remote.demo import DEMO

_LAST = "learn/last"
_PROBLEM = "learn/problem"
_WAIT_S = 2
_TRIES = 3
_TEACHERS_FONT = 16


def page() -> None:
    """Draws the page."""
    with st.container(key="learn"):
        _lesson()


@st.fragment
def _lesson() -> None:
    """Fetches and shows; a fragment, so that a press in a lesson reruns nothing else."""
    stale = ""
    try:
        asked = read(st.query_params.to_dict())
        with st.spinner("The service computes. The first time it loads torch, which takes some seconds."):
            facts = _patiently(asked)
        scene = asked.lesson.tell(asked.case, facts)
    except Unknown as error:
        _unknown(error)
        return
    except session.Failure as error:
        last: tuple[Asked, Scene] | None = st.session_state.get(_LAST)
        if last is None or isinstance(error, ServiceError):
            trouble.show(error)
            return
        asked, scene = last
        stale = f"{session.sentence(error)} This is what it said last."
    st.session_state[_LAST] = asked, scene
    _show(asked, scene, stale)


def _patiently(asked: Asked) -> Any:
    """Returns a lesson's facts; a busy machine may need more than one try until torch is loaded."""
    for _ in range(_TRIES - 1):
        try:
            return asked.lesson.fetch(session.client(), asked.case)
        except ServiceError as error:
            if error.problem.status != 503:
                raise
            time.sleep(_WAIT_S)
    return asked.lesson.fetch(session.client(), asked.case)


def _show(asked: Asked, scene: Scene, stale: str) -> None:
    mount_head(asked, scene, _go_by_head, stale=stale)
    if scene.offer and not session.may_launch():
        st.markdown("You may look, not launch: this lesson needs a job that whoever may launch has to start.")
    elif scene.offer:
        st.button(scene.offer, type="primary", on_click=_run_demo)
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.markdown(plain(problem))
    if scene.waits:
        _look_again()
    is_beside = bool(scene.grids) and len(scene.grids) <= 2 and bool(scene.charts)
    slots = st.columns([1.35, 1], gap="small") if is_beside else [st.container(), st.container()]
    with slots[0]:
        if scene.grids:
            is_compact = bool(scene.charts) and not is_beside
            mount_board(scene.grids, is_teacher=asked.is_teacher, is_compact=is_compact, on_go=_go_by_board)
    with slots[1]:
        shown = [_sized(chart, asked.is_teacher) for chart in scene.charts]
        across = st.columns(len(shown), gap="small") if len(shown) > 1 else [st.container()] * len(shown)
        for slot, chart in zip(across, shown, strict=True):
            with slot:
                charts.mount(chart, f"learn/{chart.name}")
    if scene.source:
        st.caption(f"{plain(scene.source.text)} — {plain(scene.source.where)}")


def _sized(chart: Chart, is_teacher: bool) -> Chart:
    if not is_teacher:
        return chart
    layout = chart.layout or {}
    margin = {"l": 72, "b": 60} | layout.get("margin", {})
    return replace(
        chart,
        layout=layout | {"font": {"size": _TEACHERS_FONT}, "margin": margin},
        height_px=round(1.1 * chart.height_px),
    )


def _go_by_head() -> None:
    _go(asked_for(HEAD))


def _go_by_board() -> None:
    _go(asked_for(BOARD))


def _go(change: dict[str, str]) -> None:
    """Takes a change of the address; what it then asks for is checked where it is read."""
    query = st.query_params.to_dict()
    try:
        after = changed(query, change)
    except Unknown:
        return
    st.query_params.from_dict(after)


def _unknown(error: Unknown) -> None:
    with st.container(key="notice"):
        st.markdown("# There is no such lesson.")
        st.markdown(plain(str(error)))
        st.button("Start with the first lesson", type="primary", on_click=_start)


def _start() -> None:
    for name in {*OWN, *(name for lesson in LESSONS for name in lesson.defaults)}:
        st.query_params.pop(name, None)


def _run_demo() -> None:
    try:
        session.client().launch(DEMO)
    except session.Failure as error:
        st.session_state[_PROBLEM] = session.sentence(error)


@st.fragment(run_every=_WAIT_S)
def _look_again() -> None:
    """Runs the page again every two seconds until there is something to see."""
    if st.session_state.pop("learn/waited", False):
        st.rerun()
    st.session_state["learn/waited"] = True

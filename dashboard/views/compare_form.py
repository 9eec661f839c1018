"""Launching what can be compared: a race of covers, or one job that follows covers as shadows."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from dashboard import session
from dashboard.figures.compare_sources import MAX_CONTENDERS
from dashboard.figures.equivalents import Equivalents, equivalents, race_equivalents
from dashboard.figures.plain import plain
from dashboard.figures.race import BASES, COVERS, USUAL, base_of, faults, race_of, shadows_of
from dashboard.views.compare_fetch import forget_choices
from sm3.remote.client import ServiceError
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.job_specs import JobSpec
from sm3.remote.settings import ClientSettings

_PROBLEM = "compare/problem"
_OPEN = "compare/launched"


def invite() -> None:
    """What the page says while nothing can be compared."""
    if not session.may_launch():
        st.markdown("# Nothing to compare yet.")
        st.markdown(
            "You may look, not launch: as soon as somebody starts a race of covers, it is shown here."
        )
        return
    st.markdown("# Nothing to compare yet: race some covers.")
    st.markdown(
        "A race trains one copy of a model with each cover, at the same seeds and on the same data. Shadows are "
        "cheaper: one run, and the other covers only follow its gradients."
    )


def drawer(*, is_open: bool = False) -> None:
    """The form, folded away where there is something to look at."""
    if launched := st.session_state.pop(_OPEN, None):
        forget_choices()
        st.query_params.clear()
        st.query_params.update(launched)
        st.rerun()
    _drawer(is_open)


@st.fragment
def _drawer(is_open: bool) -> None:
    """The form, drawn once it is unfolded; a fragment, so that typing in it leaves the comparison alone."""
    if _OPEN in st.session_state:
        st.rerun()
    # Folded away it would keep the page waiting: highlighting its code takes the browser a third of a second.
    folder = st.expander(
        "Launch a race, or a job with shadows", expanded=is_open, key="race/unfolded", on_change="rerun"
    )
    if folder.open:
        with folder:
            _form()


def _form() -> None:
    settings, same = st.columns([1, 1], gap="medium")
    with settings:
        covers = st.pills(
            f"Covers, 2 to {MAX_CONTENDERS}",
            list(COVERS),
            selection_mode="multi",
            default=USUAL,
            wrap=True,
            key="race/covers",
        )
        first, second = st.columns(2, gap="small")
        base = first.selectbox("Base recipe", list(BASES), key="race/base")
        steps = second.number_input("Steps", 20, 1_000_000, 300, step=1, key="race/steps")
        num_seeds = first.number_input("Seeds of a race", 1, 16, 3, step=1, key="race/seeds")
        lr = second.number_input(
            "Learning rate",
            1e-6,
            1000.0,
            0.1,
            step=None,
            format="%g",
            key="race/lr",
            help="of every cover alike",
        )
        race, shadows = _specs(list(covers), str(base), int(steps), int(num_seeds), float(lr))
        press_race, press_shadows = st.columns(2, gap="small")
        count = len(covers) * int(num_seeds)
        press_race.button(
            f"Race: {count} jobs",
            type="primary",
            width="stretch",
            disabled=race is None,
            on_click=_launch_race,
            args=(race,),
        )
        press_shadows.button(
            "Compare shadows: 1 job",
            width="stretch",
            disabled=shadows is None,
            on_click=_launch_shadows,
            args=(shadows,),
            help="trains with the first cover; the others follow its gradients",
        )
        if problem := st.session_state.pop(_PROBLEM, ""):
            st.markdown(f":red[{plain(problem)}]")
    with same:
        _show_equivalents(race, shadows)


def _specs(
    covers: list[str], base: str, steps: int, num_seeds: int, lr: float
) -> tuple[ComparisonSpec | None, JobSpec | None]:
    """Returns race and job, or None for both and a sentence on the page."""
    if not 2 <= len(covers) <= MAX_CONTENDERS:
        st.markdown(f"Choose 2 to {MAX_CONTENDERS} covers; {len(covers)} are chosen.")
        return None, None
    try:
        job = base_of(base, steps=steps, lr=lr)
        return race_of(job, covers, num_seeds), shadows_of(job, covers)
    except ValidationError as error:
        for fault in faults(error):
            st.markdown(f":red[{plain(fault)}]")
        return None, None


def _launch_race(spec: ComparisonSpec) -> None:
    try:
        race = session.client().compare(spec)
    except session.Failure as error:
        st.session_state[_PROBLEM] = _told(error)
    else:
        st.session_state[_OPEN] = {"source": "race", "race": race.id}


def _launch_shadows(spec: JobSpec) -> None:
    try:
        job = session.client().launch(spec)
    except session.Failure as error:
        st.session_state[_PROBLEM] = _told(error)
    else:
        st.session_state[_OPEN] = {"source": "shadows", "job": job.id}


def _told(error: Exception) -> str:
    found = error.problem.errors if isinstance(error, ServiceError) else ()
    return " ".join([
        session.sentence(error),
        *(f"{f.field}: {f.allowed} (given: {f.given!r})" for f in found),
    ])


def _show_equivalents(race: ComparisonSpec | None, shadows: JobSpec | None) -> None:
    if race is None or shadows is None:
        return
    what = st.segmented_control(
        "The same by hand", ["race", "shadows"], default="race", key="race/same", required=True
    )
    url = ClientSettings().url
    same: Equivalents = race_equivalents(race, url) if what == "race" else equivalents(shadows, url)
    curl, python, cli = st.tabs(["curl", "Python", "command line"])
    curl.code(same.curl, language="bash", wrap_lines=True, height=240)
    python.code(same.python, language="python", wrap_lines=True, height=240)
    cli.code(same.cli, language="bash", wrap_lines=True, height=240)

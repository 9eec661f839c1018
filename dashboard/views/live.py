"""The Live page: what does the optimizer know right now?"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard import session
from dashboard.figures.demo import invitation
from dashboard.figures.labels import choose, job_label
from dashboard.figures.plain import plain
from dashboard.live import LiveData, asked, mount
from dashboard.views import trouble
from sm3.remote.client import Client, ServiceError
from sm3.remote.demo import DEMO
from sm3.remote.wire import JobState, JobView

_LAST = "live/last"
_JOB = "live/job"
_PROBLEM = "live/problem"
_REFUSAL = "live/refusal"
_PLACE = ("show", "step", "a")
"""What the address says of where the map looks."""


def page() -> None:
    """Draws the page."""
    _live()


@st.fragment
def _live() -> None:
    """Fetches and shows; a fragment, so that the view's questions rerun nothing else."""
    try:
        data = _fetch(session.client())
    except session.Failure as error:
        last: LiveData | None = st.session_state.get(_LAST)
        if last is None or isinstance(error, ServiceError):
            if st.query_params.get("job") and trouble.is_missing(error):
                trouble.missing(error, "Show the newest job", _forget)
            else:
                trouble.show(error)
            return
        refusal = st.session_state.pop(_REFUSAL, "")
        data = replace(last, ticket="", problem=session.sentence(error), refusal=refusal)
    if data is None:
        _empty()
        return
    st.session_state[_LAST] = data
    mount(
        data,
        {"ticket": _rerun, "ended": _rerun, "control": _control, "pick": _pick},
    )


def _fetch(client: Client) -> LiveData | None:
    """Returns what the view needs, or None while there is no job at all."""
    jobs = client.jobs(limit=50).items
    # Streamlit's own link to this page drops what the address said: the job looked at last is shown again.
    wanted = st.query_params.get("job") or _shown_before(client)
    job = next((job for job in jobs if job.id == wanted), None) if wanted else choose(jobs)
    if job is None and wanted:
        job = client.job(wanted)
    if job is None:
        return None
    if job.id != st.query_params.get("job"):
        st.query_params["job"] = job.id
    st.session_state[_JOB] = job.id
    listed = jobs if any(listed.id == job.id for listed in jobs) else (job, *jobs)
    return LiveData(
        job=job,
        ticket=client.ticket(job.id).ticket,
        tensor=st.query_params.get("tensor", ""),
        jobs=tuple((listed_job.id, job_label(listed_job)) for listed_job in listed),
        api=session.browser_address(),
        log=_log(client, job),
        problem=st.session_state.pop(_PROBLEM, ""),
        place={name: st.query_params.get(name, "")[:40] for name in _PLACE},
        refusal=st.session_state.pop(_REFUSAL, ""),
        may_control=session.may_launch(),
    )


def _shown_before(client: Client) -> str | None:
    """Returns the job that this visitor looked at last, if it still exists."""
    last: str | None = st.session_state.get(_JOB)
    if last is None:
        return None
    try:
        return client.job(last).id
    except ServiceError as error:
        if error.problem.status != 404:
            raise
        return None


def _log(client: Client, job: JobView) -> str:
    return client.log(job.id) if job.state in {JobState.FAILED, JobState.CRASHED} else ""


def _forget() -> None:
    """Leaves the job that is no more."""
    st.session_state.pop(_JOB, None)
    for name in ("job", "tensor", *_PLACE):
        st.query_params.pop(name, None)


def _rerun() -> None:
    """Answers a question whose answer is in what every run fetches."""


def _control() -> None:
    """Pauses, resumes or stops the job, as the view asks."""
    said = asked("control")
    client = session.client()
    calls = {"pause": client.pause, "resume": client.resume, "cancel": client.cancel}
    try:
        calls[said["what"]](said["job"])
    except session.Failure as error:
        st.session_state[_REFUSAL] = f"The job was not {_DONE[said['what']]}: {session.sentence(error)}"


_DONE = {"pause": "paused", "resume": "resumed", "cancel": "stopped"}


def _pick() -> None:
    """Goes to the job that the view asks for."""
    for name in ("tensor", "step", "a"):
        st.query_params.pop(name, None)
    st.query_params["job"] = asked("pick")["job"]


def _empty() -> None:
    with st.container(key="notice"):
        st.markdown("# Nothing is training yet.")
        if not session.may_launch():
            st.markdown("You may look, not launch: as soon as somebody starts a job, it is shown here.")
            st.button("Look again", type="primary")
            return
        st.markdown(invitation())
        st.button("Run the demo", type="primary", on_click=_launch_demo)
        if problem := st.session_state.pop(_PROBLEM, ""):
            st.markdown(plain(problem))
        st.page_link(st.session_state["pages"]["jobs"], label="or launch a job of your own")


def _launch_demo() -> None:
    try:
        st.query_params["job"] = session.client().launch(DEMO).id
    except session.Failure as error:
        st.session_state[_PROBLEM] = session.sentence(error)

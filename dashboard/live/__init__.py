"""The live view as a Streamlit component: one WebSocket and the charts it feeds, in the browser.

Python gives it a job, a ticket and a list of jobs; everything else comes over the WebSocket. The view asks back
by trigger values: ``ticket`` (a fresh one, to connect again), ``control`` (pause, resume or cancel the job), ``pick``
(another job) and ``ended``.

A walk through ``assets/``: ``index.js`` mounts ``view.js``; ``connection.js`` hands messages to ``store.js``, which
decodes them by ``safetensors.js`` into ``series.js`` and ``glance.js``; ``accumulators.js``, ``layers.js``,
``compare_steps.js``, ``*figure*.js``, ``curves.js``, ``marks.js``, ``alerts.js`` and ``words.js`` are pure and say what
is drawn; ``*_panel.js``, ``strip.js`` and ``tensor_list.js`` draw it. ``look.js`` says where in the job the map looks,
and asks ``past.js`` for earlier frames; ``address.js`` holds what a link has to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from dashboard import assets
from dashboard.session import BrowserAddress
from sm3.remote.wire import JobView

KEY = "live"


@dataclass(frozen=True)
class LiveData:
    """What Python tells the view.

    Attributes:
        job: the job to show.
        ticket: a pass for one connection, '' when none could be had.
        tensor: the tensor that the address names, or ''.
        jobs: (id, label) of the jobs to choose from.
        api: where the browser finds the service.
        log: the worker's log, for a job that failed.
        problem: why the service could not be asked just now, or ''.
        place: where in the job the address looks: show, step and a as they are written there.
        refusal: why the service did not do what was asked of the job, or ''.
        may_control: whether whoever looks may pause, resume and stop jobs.
    """

    job: JobView
    ticket: str
    tensor: str
    jobs: tuple[tuple[str, str], ...]
    api: BrowserAddress
    log: str = ""
    problem: str = ""
    place: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""
    may_control: bool = True

    def payload(self) -> dict[str, object]:
        """Returns the JSON that the component gets."""
        return {
            "job": self.job.model_dump(mode="json"),
            "tensors": [],
            "ticket": self.ticket,
            "tensor": self.tensor,
            "jobs": [{"id": job_id, "label": label} for job_id, label in self.jobs],
            "api": {
                "publicUrl": self.api.public_url,
                "port": self.api.port,
                "path": self.api.path,
            },
            "log": self.log,
            "problem": self.problem,
            "place": dict(self.place),
            "refusal": self.refusal,
            "mayControl": self.may_control,
            "module": assets.url("live/index.js"),
            "plotly": assets.url(assets.PLOTLY),
        }


def mount(data: LiveData, on_change: Mapping[str, Callable[[], None]]) -> None:
    """Shows the view. ``on_change`` maps each trigger to what answers it."""
    component = st.components.v2.component(
        "sm3_scope_live",
        css=assets.text("kit/kit.css") + assets.text("live/live.css"),
        js=assets.LOADER,
        isolate_styles=False,
    )
    callbacks: dict[str, Any] = {f"on_{name}_change": call for name, call in on_change.items()}
    component(key=KEY, data=data.payload(), **callbacks)


def asked(trigger: str) -> dict[str, str]:
    """Returns what the view asked by ``trigger``, inside its callback."""
    state = st.session_state.get(KEY) or {}
    return dict(state.get(trigger) or {})

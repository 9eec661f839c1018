"""The demo: what `sm3 up --demo` and the dashboard's empty page run."""

from __future__ import annotations

from sm3.remote.cover_specs import SingletonsSpec, SlicesSpec, WholeSpec
from sm3.remote.job_specs import JobSpec
from sm3.remote.recipe_specs import LanguageModelSpec
from sm3.remote.record_specs import DEFAULT_PROBES, ProbeName, RecordSpec, ShadowSpec

_SHOWN = ("token_embedding.weight", "blocks.0.attention.*.weight")

DEMO = JobSpec(
    recipe=LanguageModelSpec(name="language-model"),
    record=RecordSpec(
        probes=(*DEFAULT_PROBES, ProbeName.SQUARES),
        truth=_SHOWN,
        shadows=tuple(
            ShadowSpec(cover=cover, tensors=_SHOWN)
            for cover in (SlicesSpec(dims=(0,)), WholeSpec(), SingletonsSpec())
        ),
    ),
    labels={"demo": "first-light"},
)
"""A tiny language model on the Python standard library, trained by default settings; it records more than a job does by
default, so that every view of the dashboard has something to show."""

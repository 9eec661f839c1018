"""What is compared, chosen on the page; every choice is written into the address, which alone is read back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import streamlit as st

from dashboard.figures.compare_losses import NAMES
from dashboard.figures.compare_sources import MAX_JOBS, Asked, Source, race_label, shadows_label
from dashboard.figures.compare_words import glyph
from dashboard.figures.labels import job_label
from dashboard.views.compare_fetch import Choices, Found, Recorded

_PLAYED = "compare/played"
_SOURCES = {Source.SHADOWS: "Shadows of a job", Source.RACE: "Race", Source.JOBS: "Jobs by hand"}


def controls(want: Asked, there: Choices, found: Found, recorded: Recorded | None) -> None:
    """Draws the choices: source, which race or jobs, tensor, reference, loss, covers."""
    with st.container(key="compare_controls", horizontal=True, gap="small"):
        _one(
            "source",
            "Compare",
            list(_SOURCES),
            want.source,
            lambda s: _SOURCES[Source(s)],
            _pick_source,
            segmented=True,
        )
        _whose(want, there, found)
        if recorded is not None and recorded.tensors:
            shapes = recorded.tensors
            _one(
                "tensor",
                "Tensor",
                list(shapes),
                recorded.tensor,
                lambda name: f"{name}  {' × '.join(map(str, shapes.get(name, ())))}",
                lambda: write(tensor=_value("tensor")),
            )
        if found.race is not None and len(found.race.seeds) > 1:
            seeds = [str(seed) for seed in found.race.seeds]
            _one(
                "seed",
                "Seed",
                seeds,
                str(want.seed) if str(want.seed) in seeds else seeds[0],
                str,
                lambda: write(seed=_value("seed")),
                about="Whose jobs the maps show; losses are of all seeds.",
            )
        if want.source is not Source.SHADOWS and recorded is not None:
            keys = {c.key: c.name for c in found.contenders}
            chosen = reference_key(want, found)
            _one(
                "reference",
                "Against",
                list(keys),
                chosen,
                lambda k: keys.get(k, k),
                lambda: write(reference=_value("reference")),
            )
            _one(
                "series",
                "Loss",
                list(NAMES),
                recorded.series,
                lambda s: NAMES[s].removesuffix(" loss"),
                lambda: write(series=_value("series")),
            )
    if len(found.contenders) > 2:
        names = {c.key: f"{glyph(c.place)} {c.name}" for c in found.contenders}
        _many("covers", "Covers", list(names), [c.key for c in found.shown], lambda k: names.get(k, k))


def reference_key(want: Asked, found: Found) -> str:
    """Returns the key of the contender that others are compared with."""
    keys = [c.key for c in found.contenders]
    return want.reference if want.reference in keys else keys[0] if keys else ""


def write(**changed: str | Sequence[str] | None) -> None:
    """Writes choices into the address; None or '' takes one out. A chosen step ends the playing of steps."""
    if "step" in changed:
        end_playing()
    for name, value in changed.items():
        wanted = [part for part in ([value] if isinstance(value, str) else value or ()) if part]
        if not wanted:
            st.query_params.pop(name, None)
        elif wanted != st.query_params.get_all(name):
            st.query_params[name] = wanted


def write_step(step: int | None, *, is_playing: bool) -> None:
    """Goes to ``step``, None being the newest; into the address only once playing is over, for "back" to skip it."""
    if is_playing and step is not None:
        st.session_state[_PLAYED] = int(step)
    else:
        write(step=None if step is None else str(int(step)))


def played(want: Asked) -> Asked:
    """Returns ``want`` at the step that playing has come to."""
    step: int | None = st.session_state.get(_PLAYED)
    return want if step is None else replace(want, step=step)


def end_playing() -> None:
    """Goes back to the step of the address: the page was opened, or opened again."""
    st.session_state.pop(_PLAYED, None)


def _whose(want: Asked, there: Choices, found: Found) -> None:
    """Draws which race or which jobs; what the address names is among the choices, however old it is."""
    match want.source:
        case Source.RACE:
            races = {race.id: race for race in (*there.races, *((found.race,) if found.race else ()))}
            _one(
                "race",
                "Race",
                list(races),
                want.race,
                lambda i: race_label(races[i]),
                lambda: write(race=_value("race"), **_FORGET),
            )
        case Source.SHADOWS:
            jobs = {
                job.id: job for job in (*there.with_shadows, *(j for c in found.contenders for j in c.jobs))
            }
            _one(
                "job",
                "Job",
                list(jobs),
                want.jobs[0] if want.jobs else "",
                lambda i: shadows_label(jobs[i]),
                lambda: write(job=_value("job"), **_FORGET),
            )
        case Source.JOBS:
            jobs = {job.id: job for job in (*there.jobs, *(j for c in found.contenders for j in c.jobs))}
            key = "compare/jobs"
            st.session_state[key] = [job_id for job_id in want.jobs if job_id in jobs]
            st.multiselect(
                "Jobs",
                list(jobs),
                format_func=lambda i: job_label(jobs[i]),
                key=key,
                max_selections=MAX_JOBS,
                placeholder="pick two to six",
                wrap=True,
                on_change=lambda: write(job=st.session_state[key], cover=None),
            )


_FORGET = {"cover": None, "reference": None, "step": None, "seed": None}


def _one(
    name: str,
    label: str,
    options: list[str],
    chosen: str | None,
    words: Callable[[str], str],
    call: Callable[[], None],
    *,
    segmented: bool = False,
    about: str | None = None,
) -> None:
    key = f"compare/{name}"
    st.session_state[key] = chosen if chosen in options else None
    if segmented:
        st.segmented_control(label, options, format_func=words, key=key, on_change=call)
    else:
        st.selectbox(label, options, format_func=words, key=key, on_change=call, help=about)


def _many(name: str, label: str, options: list[str], chosen: list[str], words: Callable[[str], str]) -> None:
    key = f"compare/{name}"
    st.session_state[key] = chosen
    st.pills(
        label,
        options,
        selection_mode="multi",
        format_func=words,
        key=key,
        label_visibility="collapsed",
        on_change=lambda: write(cover=[k for k in options if k in st.session_state[key]]),
    )


def _pick_source() -> None:
    source = _value("source")
    if source:
        write(source=source, race=None, job=None, **_FORGET)


def _value(name: str) -> str:
    return str(st.session_state[f"compare/{name}"] or "")

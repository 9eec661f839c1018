"""What a lesson is shown with: a head (list, message, question, steps) and a row of small matrices.

Both are Streamlit components in the kit's look; they ask for a change of the address by the trigger ``go``, a mapping
of names to values in which '' takes a name away. `dashboard.lessons` says what is in them; ``assets/head.js`` and
``assets/board.js`` draw it, ``edges.js`` says where a set's outline runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import streamlit as st

from dashboard import assets
from dashboard.lessons.address import Asked
from dashboard.lessons.registry import LESSONS
from dashboard.lessons.scene import Grid, Scene, verdict

HEAD, BOARD = "lesson_head", "lesson_board"


def mount_head(asked: Asked, scene: Scene, on_go: Callable[[], None], *, stale: str = "") -> None:
    """Shows the head of a lesson; ``stale`` says why it may be old."""
    case, question = asked.case, scene.question
    kind, words = verdict(question, case.guess) if question and case.step == case.reveal else ("", "")
    payload = {
        "module": assets.url("lesson/head.js"),
        "number": asked.number,
        "lessons": [lesson.title for lesson in LESSONS],
        "idea": asked.lesson.idea,
        "steps": list(asked.lesson.steps),
        "step": case.step,
        "reveal": case.reveal,
        "teacher": asked.is_teacher,
        "headline": scene.headline,
        "text": scene.text,
        "question": None
        if question is None or case.revealed
        else {
            "text": question.text,
            "options": [{"key": option.key, "label": option.label} for option in question.options],
        },
        "guess": case.guess,
        "verdict": {"kind": kind, "text": words} if kind else None,
        "controls": [asdict(control) for control in scene.controls],
        "stale": stale,
    }
    _component("head")(key=HEAD, data=payload, on_go_change=on_go)


def mount_board(
    grids: Sequence[Grid], *, is_teacher: bool, is_compact: bool, on_go: Callable[[], None]
) -> None:
    """Shows ``grids`` in a row; compact where something else has to fit below."""
    payload = {
        "module": assets.url("lesson/board.js"),
        "teacher": is_teacher,
        "compact": is_compact,
        "grids": [asdict(grid) for grid in grids],
    }
    _component("board")(key=BOARD, data=payload, on_go_change=on_go)


def asked_for(key: str) -> dict[str, str]:
    """Returns the change that the head or the board asks for, inside its callback."""
    state = st.session_state.get(key) or {}
    return {str(k): str(v) for k, v in dict((state.get("go") or {}).get("change") or {}).items()}


def _component(name: str):  # type: ignore[no-untyped-def]
    return st.components.v2.component(
        f"sm3_scope_lesson_{name}",
        css=assets.text("kit/kit.css") + assets.text("lesson/lesson.css"),
        js=assets.LOADER,
        isolate_styles=False,
    )

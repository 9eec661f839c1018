"""The Compare page: which cover loses what?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from dashboard import session
from dashboard.figures.compare_sources import Asked, address, asked, settled
from dashboard.figures.plain import plain
from dashboard.views import compare_charts, compare_form, compare_pick, trouble
from dashboard.views.compare_fetch import Choices, Found, Recorded, choices, find, read
from sm3.remote.client import ServiceError

_LAST = "compare/last"
_FRESH = "compare/fresh"
_AGAIN = "compare/again"  # the page runs again only for its timer
_REFRESH_S = 3


@dataclass(frozen=True)
class _View:
    """All that is drawn at once; ``recorded`` is None where nothing can be shown, ``problem`` '' where all is well."""

    want: Asked
    there: Choices
    found: Found
    recorded: Recorded | None
    problem: str = ""

    @property
    def may_change(self) -> bool:
        """Whether asking again may tell something new."""
        return self.found.is_live or bool(self.problem)


def page() -> None:
    """Draws the page."""
    if not st.session_state.pop(_AGAIN, False):
        compare_pick.end_playing()
    with st.container(key="compare_page"):
        view = _fetched()
        if view is None:
            return
        st.session_state[_FRESH] = view
        st.fragment(_comparison, run_every=_REFRESH_S if view.may_change else None)(view.may_change)
        if session.may_launch():
            compare_form.drawer(is_open=view.recorded is None)


def _comparison(is_timed: bool) -> None:
    """The comparison, fetched anew every few seconds while any of its jobs can still change."""
    view: _View | None = st.session_state.pop(_FRESH, None) or _fetched()
    if view is None:
        return
    if view.want.source is None:
        compare_form.invite()
        return
    _draw(view)
    if is_timed != view.may_change:
        st.session_state[_AGAIN] = True
        st.rerun()  # the whole page, so that its timer stops or starts


def _fetched() -> _View | None:
    """Returns what to draw; without an answer the last view, with the reason; None once trouble has been shown."""
    try:
        client = session.client()
        there = choices(client)
        query = {name: st.query_params.get_all(name) for name in st.query_params}
        want = compare_pick.played(settled(asked(query), there.races, there.jobs))
        compare_pick.write(**address(want))  # so that the link still shows this when there are newer ones
        found = find(client, want)
        view = _View(want, there, found, read(client, want, found) if found.shown else None)
    except session.Failure as error:
        last: _View | None = st.session_state.get(_LAST)
        if last is None or isinstance(error, ServiceError):
            trouble.show(error)
            return None
        return replace(last, problem=session.sentence(error))
    st.session_state[_LAST] = view
    return view


def _draw(view: _View) -> None:
    st.markdown(f"# {plain(compare_charts.headline(view.want, view.found, view.recorded))}")
    if view.problem:
        st.markdown(f":orange[▲ STALE] {plain(view.problem)} What is below is the last answer.")
    compare_pick.controls(view.want, view.there, view.found, view.recorded)
    for sentence in (*view.found.said, *(view.recorded.said if view.recorded else ())):
        st.markdown(plain(sentence))
    if view.recorded is not None:
        compare_charts.draw(view.want, view.found, view.recorded)

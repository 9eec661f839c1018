"""What a viewer sees who may look and nothing else: no button that the service would refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

from dashboard.figures.jobs_list import actions, message
from dashboard.figures.jobs_query import JobsQuery
from sm3.remote.tokens import Scope, TokenSpec
from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job
from tests.dashboard.conftest import OpenPage, RunningDashboard, running_dashboard

browser = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[RunningService]:
    """A service that has no jobs until a test launches one."""
    stop = {"SM3_STOP_WORKERS_ON_EXIT": "true"}
    running = RunningService(tmp_path_factory.mktemp("api"), cache_dir, environment=stop).start()
    yield running
    running.stop()
    assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def token(api: RunningService) -> str:
    """A token that may look."""
    with api.client as client:
        return client.create_token(TokenSpec(name="viewer", scope=Scope.VIEW)).secret


@pytest.fixture(scope="module")
def looking(
    api: RunningService, token: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningDashboard]:
    """A dashboard that acts with it."""
    with running_dashboard(tmp_path_factory.mktemp("looking"), api.url, token) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def running(api: RunningService) -> JobView:
    """A job that trains until the service ends."""
    with api.client as client:
        return client.launch(tiny_job(steps=1_000_000, record={"every": 10}))


@pytest.mark.parametrize("state", list(JobState))
def test_actions_are_those_that_the_scope_allows(state: JobState) -> None:
    everything = set(actions(state))
    assert set(actions(state, Scope.LAUNCH)) == everything - {"delete"}
    assert actions(state, Scope.VIEW) == ()


def test_who_may_not_launch_is_not_asked_to() -> None:
    assert "Launch" in message((), JobsQuery(), has_more=False)
    assert "Launch" not in message((), JobsQuery(), has_more=False, may_launch=False)


def _ask_to_pause() -> None:
    """A page on which somebody pressed Pause that was drawn before their token was narrowed."""
    import streamlit as st

    from dashboard.views import live

    live.asked = lambda _: {"what": "pause", "job": st.query_params["job"]}  # type: ignore[assignment]
    live._control()
    st.markdown(st.session_state[live._REFUSAL])


def test_what_the_service_refuses_all_the_same_is_told(
    api: RunningService, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM3_URL", api.url)
    monkeypatch.setenv("SM3_TOKEN", token)
    app = AppTest.from_function(_ask_to_pause, default_timeout=30)
    app.query_params["job"] = "01a2145e-2a8e-70e0-8000-000000000000"
    app.run()
    assert not app.exception
    assert "The job was not paused: " in app.markdown[0].value
    assert "scope is 'view'" in app.markdown[0].value


class TestPages:
    pytestmark = browser

    def test_nothing_there_yet(self, looking: RunningDashboard, open_page: OpenPage) -> None:
        """First of this class: no job was launched yet."""
        page = open_page(looking.url)
        expect(page.get_by_text("You may look, not launch")).to_be_visible()
        expect(page.get_by_role("button", name="Run the demo")).to_have_count(0)
        page.goto(f"{looking.url}/compare")
        expect(page.get_by_text("You may look, not launch")).to_be_visible()
        expect(page.get_by_text("Launch a race")).to_have_count(0)
        page.goto(f"{looking.url}/jobs")
        expect(page.get_by_role("heading", level=1)).to_have_text("No jobs yet. You may look, not launch.")

    def test_a_lesson_that_needs_a_job_says_so(self, looking: RunningDashboard, open_page: OpenPage) -> None:
        """Second of this class: there is still no job."""
        page = open_page(f"{looking.url}/learn?lesson=5")
        expect(page.get_by_text("You may look, not launch")).to_be_visible()

    def test_live_has_the_views_buttons_and_none_of_the_jobs(
        self, looking: RunningDashboard, running: JobView, open_page: OpenPage
    ) -> None:
        page = open_page(f"{looking.url}/?job={running.id}")
        expect(page.get_by_role("button", name="Hold view")).to_be_visible()
        expect(page.locator(".sm3-status")).to_contain_text("LIVE")
        for name in ("Pause job", "Resume job", "Stop job"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)

    def test_jobs_can_be_compared_and_not_changed(
        self, looking: RunningDashboard, running: JobView, open_page: OpenPage
    ) -> None:
        page = open_page(f"{looking.url}/jobs?picked={running.id}")
        expect(page.get_by_role("button", name=re.compile("^Compare"))).to_be_visible()
        for name in ("Launch a job", "Pause", "Stop", "Delete"):
            expect(page.get_by_role("button", name=re.compile(f"^{name}"))).to_have_count(0)
        page.locator(".sm3-jobtable [aria-haspopup='menu']").first.click()
        items = page.get_by_role("menuitem")
        expect(items.first).to_be_visible()
        assert [text for text in items.all_text_contents() if re.match("Clone|Pause|Stop|Delete", text)] == []

    def test_an_address_that_would_change_something_says_who_may(
        self, looking: RunningDashboard, running: JobView, open_page: OpenPage
    ) -> None:
        page = open_page(f"{looking.url}/jobs?launch=1")
        expect(page.get_by_text("sm3 token create NAME --scope launch")).to_be_visible()
        page.goto(f"{looking.url}/jobs?clone={running.id}")
        expect(page.get_by_text("sm3 token create NAME --scope launch")).to_be_visible()
        page.goto(f"{looking.url}/jobs?job={running.id}&tab=notes")
        expect(page.get_by_text("You may look, not change.")).to_be_visible()
        expect(page.get_by_label("Notes", exact=True)).to_be_disabled()

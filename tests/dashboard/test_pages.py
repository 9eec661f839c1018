"""The pages as Streamlit runs them, without a browser: what they say when there is nothing to show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import dashboard
from sm3.remote.demo import DEMO
from sm3.remote.wire import JobState
from tests.conftest import RunningService, free_port

APP = Path(dashboard.__file__).with_name("app.py")
TIMEOUT_S = 30


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a service that is not there."""
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("SM3_URL", url)
    monkeypatch.setenv("SM3_TOKEN", "none")
    return url


@pytest.fixture
def reached(own_service: RunningService, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    """A real service without any job."""
    monkeypatch.setenv("SM3_URL", own_service.url)
    monkeypatch.setenv("SM3_TOKEN", own_service.token)
    yield own_service
    st.cache_resource.clear()


@pytest.fixture
def shared(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    """The service that all tests share, with whatever jobs are in it."""
    monkeypatch.setenv("SM3_URL", service.url)
    monkeypatch.setenv("SM3_TOKEN", service.token)
    yield service
    st.cache_resource.clear()


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def jobs_script() -> None:
    """What AppTest runs to see the Jobs page: it cannot follow `st.navigation`."""
    import streamlit as st

    from dashboard.views import jobs, live

    st.session_state["pages"] = {"live": st.Page(live.page, title="Live", url_path="live")}
    jobs.page()


@pytest.fixture(params=["live", "jobs"])
def page(request: pytest.FixtureRequest) -> AppTest:
    if request.param == "live":
        return AppTest.from_file(str(APP), default_timeout=TIMEOUT_S)
    return AppTest.from_function(jobs_script, default_timeout=TIMEOUT_S)


def test_without_a_service_a_page_is_one_sentence_and_a_retry(nowhere: str, page: AppTest) -> None:
    page.run()
    assert not page.exception
    assert "does not answer" in words(page)
    assert nowhere.rpartition(":")[2] in words(page)
    assert [button.label for button in page.button] == ["Try again"]


def test_without_a_job_the_live_page_offers_the_demo(reached: RunningService) -> None:
    app = AppTest.from_file(str(APP), default_timeout=TIMEOUT_S).run()
    assert not app.exception
    assert "Nothing is training yet" in words(app)
    app.button[0].click().run()
    assert not app.exception
    with reached.client as client:
        (job,) = client.jobs().items
        assert job.spec == DEMO
        assert app.query_params["job"] == job.id
        client.cancel(job.id)
        reached.wait_for(job.id, lambda job: job.state is JobState.CANCELLED)


def test_a_wrong_token_is_told_apart_from_silence(
    shared: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM3_TOKEN", "wrong")
    app = AppTest.from_file(str(APP), default_timeout=TIMEOUT_S).run()
    assert not app.exception
    assert "refuses this dashboard's token" in words(app)

"""The System page: its states as Streamlit runs them, and in a real browser that a refresh moves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streamlit as st
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

from dashboard import assets, system_board
from dashboard.figures.system import Board
from tests.conftest import RunningService, free_port, tiny_job
from tests.dashboard.conftest import OpenPage, RunningDashboard

TIMEOUT_S = 60


def script() -> None:
    """What AppTest runs: it cannot follow `st.navigation`."""
    from dashboard.views import system

    system.page()


@pytest.fixture
def app(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    monkeypatch.setenv("SM3_URL", service.url)
    monkeypatch.setenv("SM3_TOKEN", service.token)
    yield AppTest.from_function(script, default_timeout=TIMEOUT_S)
    st.cache_resource.clear()


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown).replace("\\", "")


def test_without_a_service_it_is_one_sentence_and_a_retry(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM3_URL", f"http://127.0.0.1:{free_port()}")
    app.run()
    assert not app.exception
    assert "# The service does not answer." in words(app)
    assert [button.label for button in app.button] == ["Try again"]


def test_a_service_that_goes_away_leaves_its_last_board(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Board] = []
    monkeypatch.setattr(system_board, "mount", lambda board, _: shown.append(board))
    app.run()
    assert shown[-1].status == ("live", "● READY")
    port = free_port()
    monkeypatch.setenv("SM3_URL", f"http://127.0.0.1:{port}")
    app.run()
    assert not app.exception
    assert shown[-1].status[0] == "stale"
    assert str(port) in shown[-1].detail
    assert shown[-1].headline == shown[0].headline
    assert words(app) == ""


def test_without_permission_it_says_so(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM3_TOKEN", "sm3_wrong")
    app.run()
    assert not app.exception
    assert "# The service refused." in words(app)


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_refreshes_change_numbers_and_move_nothing(
    dashboard: RunningDashboard, service: RunningService, open_page: OpenPage
) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=1_000_000, record={"every": 5}))
        waiting = client.launch(tiny_job(steps=1_000_000))
        try:
            service.wait_for(job.id, lambda job: job.progress.frames > 1)
            page = open_page(f"{dashboard.url}/system", height=500)
            expect(page.locator(".sm3-board h1")).to_contain_text("1 of 1 slot trains, 1 waits, ")
            slot = page.locator(".sm3-slot")
            expect(slot).to_contain_text("language-model tiny · sm3")
            expect(slot).to_contain_text("MiB resident · CPU")
            expect(page.locator(".sm3-queue li")).to_contain_text("1language-model tiny · sm3")
            expect(page.locator(".sm3-checks li[data-verdict=ok]")).to_have_count(3)
            page.locator(".sm3-checks").scroll_into_view_if_needed()
            look = """() => {
              const nodes = [...document.querySelectorAll(".sm3-board, .sm3-slot, .sm3-gauge, .sm3-checks li")];
              const same = !window.seen || nodes.every((node, k) => node === window.seen[k]);
              window.seen = nodes;
              const board = document.querySelector(".sm3-board");
              return {
                same,
                places: nodes.map((node) => {
                  const { x, y, height } = node.getBoundingClientRect();
                  return [x, y, height].map(Math.round);
                }),
                draws: Number(board.dataset.draws),
                detail: document.querySelector(".sm3-slot .sm3-about").textContent,
              };
            }"""
            before = page.evaluate(look)
            page.wait_for_function(
                "(until) => Number(document.querySelector('.sm3-board').dataset.draws) >= until",
                arg=before["draws"] + 2,
            )
            after = page.evaluate(look)
            assert after["same"]
            assert after["places"] == before["places"]
            assert after["detail"] != before["detail"]
            slot.get_by_role("button").click()
            page.wait_for_url(f"**job={job.id}**")
        finally:
            client.cancel(waiting.id)
            client.cancel(job.id)
    service.wait_for(job.id, lambda job: job.state.is_final)


@pytest.mark.browser
def test_a_job_keeps_its_box_when_another_ends(dashboard: RunningDashboard, open_page: OpenPage) -> None:
    page = open_page(f"{dashboard.url}/_stcore/health")
    source = assets.text("system_board/slots.js").replace('import { h, say } from "../kit/dom.js";', "")
    found = page.evaluate(
        """async (source) => {
          const { place } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
          const places = new Map();
          place(places, ["a", "b", "c"]);
          place(places, ["b", "c"]);
          const alone = [...places];
          place(places, ["b", "c", "d", "e"]);
          return [alone, [...places]];
        }""",
        source,
    )
    assert found == [[["b", 1], ["c", 2]], [["b", 1], ["c", 2], ["d", 0], ["e", 3]]]

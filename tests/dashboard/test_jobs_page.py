"""The Jobs page: the list in real Chromium, and its drawer as Streamlit runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import streamlit as st
from playwright.sync_api import Locator, Page, expect
from streamlit.testing.v1 import AppTest

from sm3.remote.job_specs import JobPatch
from sm3.remote.tokens import Scope, TokenSpec
from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job
from tests.dashboard.conftest import OpenPage, RunningDashboard

TIMEOUT_S = 60
PAGE = "/jobs"


@pytest.fixture(scope="module")
def stopped(service: RunningService) -> list[JobView]:
    """Four jobs that were stopped before they ran, newest first; one of them has a note and a label of its own."""
    with service.client as client:
        jobs = [
            client.launch(
                tiny_job(
                    optimizer={"name": "sm3", "lr": lr, "cover": {"kind": cover}},
                    labels={"suite": "jobs-page"},
                )
            )
            for lr, cover in ((0.1, "slices"), (0.2, "slices"), (0.2, "whole"), (0.3, "blocks"))
        ]
        for job in reversed(jobs):  # so that no slot falls to one that still waits
            client.cancel(job.id)
        client.change(jobs[0].id, JobPatch(notes="**not** bold", labels={"suite": "jobs-page", "who": "ada"}))
    return [service.wait_for(job.id, lambda job: job.state.is_final) for job in reversed(jobs)]


def row_of(page: Page, job: JobView) -> Locator:
    return page.locator(f".sm3-jobtable tr[data-job='{job.id}']")


def address(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def choose(page: Page, job: JobView, item: str) -> None:
    row_of(page, job).get_by_role("button", name="More about").click()
    page.get_by_role("menuitem", name=item).click()


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_filters_groups_order_and_selection_are_in_the_address_and_a_link_shows_them_again(
    dashboard: RunningDashboard, stopped: list[JobView], open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}{PAGE}?label=suite:jobs-page")
    expect(page.locator("h1")).to_have_text("4 stopped: all that match.")
    page.locator(".sm3-jobs").evaluate("(e) => { e.dataset.mark = 'the same node'; }")
    page.get_by_label("Group by").select_option("cover")
    expect(page.locator(".sm3-group")).to_have_count(3)
    page.get_by_label("Find jobs").fill("0.2")
    page.get_by_role("button", name="Job", exact=True).click()
    row_of(page, stopped[0]).get_by_role("checkbox").check()
    page.get_by_label("Pick all of cover slices").check()
    page.get_by_label("Find jobs").fill("")
    expect(page.locator(".sm3-bulksaid")).to_have_text("3 picked")
    page.wait_for_function(  # the address follows what was pressed, one answer of the page after the other
        """() => {
          const search = new URLSearchParams(location.search);
          return search.get("picked")?.split(",").length === 3 && !search.has("q");
        }"""
    )
    found = address(page)
    assert (found["group"], found["sort"], found["label"]) == ("cover", "name", "suite:jobs-page")
    assert set(found["picked"].split(",")) == {stopped[0].id, stopped[2].id, stopped[3].id}
    assert page.locator(".sm3-jobs").get_attribute("data-mark") == "the same node"

    page.get_by_role("button", name="stopped").click()
    page.wait_for_function("location.search.includes('state=stopped')")
    page.go_back()
    expect(page.get_by_role("button", name="stopped")).to_have_attribute("aria-pressed", "false")
    link = page.url
    page.goto("about:blank")

    page = open_page(link)
    expect(page.locator(".sm3-picked")).to_have_count(3)
    assert page.get_by_label("Group by").input_value() == "cover"
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Job ▲")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_url("**/compare?*")
    compared = parse_qs(urlsplit(page.url).query)
    assert compared["source"] == ["jobs"]
    assert set(compared["job"]) == {stopped[0].id, stopped[2].id, stopped[3].id}


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_the_list_is_walked_by_keyboard_and_refreshes_leave_focus_menu_and_scroll_alone(
    dashboard: RunningDashboard, stopped: list[JobView], service: RunningService, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}{PAGE}?label=suite:jobs-page", height=420)
    row = row_of(page, stopped[3])
    row.get_by_role("checkbox").focus()
    page.keyboard.press("Space")
    expect(page.locator(".sm3-bulksaid")).to_have_text("1 picked")
    page.keyboard.press("Tab")
    expect(row.get_by_role("button", name="language-model tiny", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Notes and labels")).to_be_focused()
    before = page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop")
    assert before > 0
    with service.client as client:  # a new job on top of the list, so that the next refresh changes it
        new = client.launch(tiny_job(labels={"suite": "jobs-page"}))
        client.cancel(new.id)
        expect(row_of(page, new)).to_have_count(1)
        service.wait_for(new.id, lambda job: job.state.is_final)  # its worker may have been starting
        client.delete(new.id)
    expect(row_of(page, new)).to_have_count(0)
    expect(page.get_by_role("menuitem", name="Notes and labels")).to_be_focused()
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == before
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Close")).to_be_focused()
    expect(page.get_by_label("Notes")).to_have_value("**not** bold")
    assert address(page)["job"] == stopped[3].id
    page.keyboard.press("Escape")
    expect(page.locator(".st-key-jobs_drawer")).to_have_count(0)
    expect(row.get_by_role("button", name="More about")).to_be_focused()


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_a_job_is_paused_resumed_stopped_and_deleted_after_a_question(
    dashboard: RunningDashboard, service: RunningService, open_page: OpenPage
) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=1_000_000, labels={"suite": "jobs-moves"}))
    service.wait_for(job.id, JobState.RUNNING)
    page = open_page(f"{dashboard.url}{PAGE}?label=suite:jobs-moves", scheme="dark")
    row = row_of(page, job)
    expect(row.locator(".sm3-status")).to_have_text("● RUNNING")
    expect(row.get_by_text(re.compile("left$"))).to_be_visible()
    choose(page, job, "Pause")
    expect(row.locator(".sm3-status")).to_have_text("‖ PAUSED")
    choose(page, job, "Resume")
    expect(row.locator(".sm3-status")).not_to_have_text("‖ PAUSED")
    row.get_by_role("checkbox").check()
    page.get_by_role("button", name="Stop…").click()
    expect(page.get_by_role("alertdialog")).to_contain_text("What was recorded stays")
    expect(page.get_by_role("button", name="Let them run")).to_be_focused()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(row.locator(".sm3-status")).to_have_text("■ STOPPED")
    page.get_by_role("button", name="Delete…").click()
    expect(page.get_by_role("alertdialog")).to_contain_text("There is no way back")
    page.keyboard.press("Escape")
    expect(page.get_by_role("alertdialog")).to_be_hidden()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator("h1")).to_have_text("No job matches the filters.")
    expect(page.get_by_role("status").filter(has_text="Deleted: 1 job.")).to_be_visible()


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_a_lost_service_leaves_the_list_and_says_so(
    own_service: RunningService, own_dashboard: RunningDashboard, open_page: OpenPage
) -> None:
    with own_service.client as client:
        job = client.launch(tiny_job())
        client.cancel(job.id)
    page = open_page(f"{own_dashboard.url}{PAGE}?state=stopped,gone")
    expect(row_of(page, job)).to_have_count(1)
    expect(page.get_by_role("status").first).to_contain_text("state 'gone'; there is queued, running")
    own_service.stop()
    expect(page.locator(".sm3-stalenote")).to_contain_text("▲ STALE")
    expect(row_of(page, job)).to_have_count(1)
    own_service.start()
    expect(page.locator(".sm3-stalenote")).to_be_hidden()


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_narrow_windows_clip_nothing(
    dashboard: RunningDashboard, stopped: list[JobView], open_page: OpenPage
) -> None:
    page = open_page(
        f"{dashboard.url}{PAGE}?label=suite:jobs-page&picked={stopped[0].id}", width=1024, height=768
    )
    expect(page.locator(".sm3-jobtable tbody tr")).to_have_count(4)
    for width in (1024, 700, 480):
        page.set_viewport_size({"width": width, "height": 768})
        page.wait_for_timeout(500)
        found = page.evaluate(
            """() => ({
              overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
              inside: document.querySelector(".sm3-jobs").scrollWidth - document.querySelector(".sm3-jobs").clientWidth,
              clipped: [...document.querySelectorAll(".sm3-jobs h1, .sm3-jobs .sm3-status, .sm3-jobs .sm3-button")]
                .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent),
            })"""
        )
        assert found == {"overflow": 0, "inside": 0, "clipped": []}, width
        row = page.locator(".sm3-jobtable tbody tr").first
        told = row.inner_text()
        assert ("loss " in told, "step " in told) == (width < 700, width < 500), told
        assert re.search(r"\d+ / \d+", told)
    page.get_by_role("button", name="Launch a job").click()
    expect(page.get_by_role("button", name="Launch", exact=True)).to_be_visible()
    drawer = page.locator(".st-key-jobs_drawer")
    expect(drawer).to_have_css("width", "480px")
    expect(drawer).to_have_css("background-color", "rgb(255, 255, 255)")  # it lies over the list


# ── the drawer, without a browser


def jobs_script() -> None:
    """What AppTest runs to see the Jobs page: it cannot follow `st.navigation`."""
    import streamlit as st

    from dashboard.views import jobs, live

    st.session_state["pages"] = {"live": st.Page(live.page, title="Live", url_path="live")}
    jobs.page()


@pytest.fixture
def reached(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    monkeypatch.setenv("SM3_URL", service.url)
    monkeypatch.setenv("SM3_TOKEN", service.token)
    yield service
    st.cache_resource.clear()


def opened(**query: str) -> AppTest:
    app = AppTest.from_function(jobs_script, default_timeout=TIMEOUT_S)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception


def made_since(service: RunningService, known: set[str]) -> JobView:
    """Returns the one job that is new, and stops it."""
    with service.client as client:
        (job,) = [job for job in client.jobs().items if job.id not in known]
        client.cancel(job.id)
    service.wait_for(job.id, lambda job: job.state.is_final)
    return job


def ids(service: RunningService) -> set[str]:
    with service.client as client:
        return {job.id for job in client.jobs(limit=500).items}


def test_the_form_launches_what_it_says_nested_covers_included(reached: RunningService) -> None:
    known = ids(reached)
    app = opened(launch="1")
    app.number_input("form/steps").set_value(7).run()
    app.number_input("form/recipe.batch_size").set_value(1).run()
    app.selectbox("form/optimizer.cover.kind").set_value("union").run()
    app.selectbox("form/optimizer.cover.members.1.kind").set_value("blocks").run()
    app.text_input("form/optimizer.cover.members.1.tile").set_value("8, 16").run()
    app.text_area("form/labels").set_value("suite: form").run()
    assert not app.exception
    curl, python, cli = (code.value for code in app.code)
    assert '"steps": 7' in curl
    assert "'steps': 7" in python
    assert "--set steps=7" in cli
    assert reached.token not in curl + python + cli
    press(app, "Launch")
    job = made_since(reached, known)
    assert job.spec == tiny_job(
        recipe={"name": "language-model", "batch_size": 1},
        steps=7,
        record={},
        validation={},
        optimizer={
            "name": "sm3",
            "cover": {"kind": "union", "members": [{"kind": "slices"}, {"kind": "blocks", "tile": [8, 16]}]},
        },
        labels={"suite": "form"},
    )


def test_a_clone_sends_only_what_was_changed(reached: RunningService, stopped: list[JobView]) -> None:
    known = ids(reached)
    original = stopped[0]
    app = opened(clone=original.id)
    prefix = f"form/{original.id}/"
    assert app.selectbox(f"{prefix}optimizer.cover.kind").value == "blocks"
    app.number_input(f"{prefix}optimizer.lr").set_value(0.5).run()
    assert '{"change": {"optimizer": {"lr": 0.5}}}' in app.code[0].value
    press(app, "Launch the clone")
    job = made_since(reached, known)
    assert job.cloned_from == original.id
    assert job.spec.optimizer.lr == 0.5
    assert job.spec.model_copy(update={"optimizer": original.spec.optimizer}) == original.spec


def test_a_value_the_service_would_refuse_is_marked_before_it_is_sent(reached: RunningService) -> None:
    app = opened(launch="1")
    app.number_input("form/optimizer.lr").set_value(0.0).run()
    assert not app.exception
    assert "greater than 0" in words(app)
    assert not [button for button in app.button if button.label == "Launch"]


def test_what_only_the_service_can_refuse_is_told(
    reached: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sm3.remote.client import Client, ServiceError
    from sm3.remote.wire import FieldFault, Problem

    def refuse(*_: object, **__: object) -> JobView:
        fault = FieldFault(field="optimizer.momentum", given=0.9, allowed="0 on Tuesdays")
        raise ServiceError(
            Problem(type="about:blank", title="no", status=422, detail="It is Tuesday.", errors=(fault,))
        )

    monkeypatch.setattr(Client, "launch", refuse)
    app = opened(launch="1")
    press(app, "Launch")
    assert "0 on Tuesdays" in words(app)
    assert "It is Tuesday" in words(app)


def test_who_may_only_look_is_told_so_and_sees_the_list(
    reached: RunningService, stopped: list[JobView], monkeypatch: pytest.MonkeyPatch
) -> None:
    with reached.client as client:
        viewer = client.create_token(TokenSpec(name="viewer", scope=Scope.VIEW))
    monkeypatch.setenv("SM3_TOKEN", viewer.secret)
    app = opened(launch="1")
    assert [button.label for button in app.button] == ["Close"]
    assert "sm3 token create NAME --scope launch" in words(app)
    monkeypatch.setenv("SM3_TOKEN", "wrong")
    assert "refuses this dashboard's token" in words(opened())


def test_notes_and_labels_are_changed_in_the_panel(reached: RunningService, stopped: list[JobView]) -> None:
    job = stopped[1]
    app = opened(job=job.id, tab="notes")
    app.text_area(f"notes/{job.id}").set_value("half a *star*").run()
    app.text_area(f"labels/{job.id}").set_value("suite: jobs-page\nwho: bob").run()
    press(app, "Save")
    assert "Saved." in words(app)
    with reached.client as client:
        changed = client.job(job.id)
        assert (changed.notes, changed.labels["who"]) == ("half a *star*", "bob")
    app.text_area(f"labels/{job.id}").set_value("no pair").run()
    press(app, "Save")
    assert "given 'no pair'" in words(app)


@pytest.mark.parametrize("tab", ["life", "log", "checkpoints", "settings", "nonsense"])
def test_the_panel_tells_a_jobs_life(reached: RunningService, stopped: list[JobView], tab: str) -> None:
    app = opened(job=stopped[0].id, tab=tab)
    told = words(app) + "\n".join(code.value for code in app.code)
    says = {"log": "written nothing", "checkpoints": "None so far", "settings": '"kind": "blocks"'}
    assert says.get(tab, "cancelled") in told


@pytest.mark.parametrize("panel", ["job", "clone"])
def test_a_panel_of_a_job_that_is_not_there_says_so(reached: RunningService, panel: str) -> None:
    app = opened(**{panel: "0197a1b2-0000-7000-8000-000000000000"})
    assert "There is no job" in words(app).replace("\\", "")

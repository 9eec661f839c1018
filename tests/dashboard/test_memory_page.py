"""The Memory page: its states as Streamlit runs them, and in a real browser what people do with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streamlit as st
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from sm3.remote.wire import JobView
from tests.conftest import RunningService, free_port, tiny_job
from tests.dashboard.conftest import OpenPage, RunningDashboard
from tests.server.conftest import done

__all__ = ["done"]
TIMEOUT_S = 60
BERT = "SM3 keeps 1.26 GiB of state, AdamW 2.51 GiB: 1.25 GiB back."
ALSO_BERT = "SM3 keeps 3.20 MiB of state, AdamW 2.51 GiB: 2.50 GiB back."


def script() -> None:
    """What AppTest runs: it cannot follow `st.navigation`."""
    import streamlit as st

    from dashboard.views import memory

    st.session_state["pages"] = {"memory": st.Page(memory.page, title="Memory", url_path="memory")}
    memory.page()


@pytest.fixture
def app(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    monkeypatch.setenv("SM3_URL", service.url)
    monkeypatch.setenv("SM3_TOKEN", service.token)
    yield AppTest.from_function(script, default_timeout=TIMEOUT_S)
    st.cache_resource.clear()
    st.cache_data.clear()


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption)).replace("\\", "")


def test_without_an_address_it_is_about_a_model_that_everybody_knows(app: AppTest) -> None:
    app.run()
    assert not app.exception
    assert f"# {BERT}" in words(app)
    assert "336,226,108 parameters in 398 tensors" in words(app)


def test_the_address_alone_makes_the_view(app: AppTest) -> None:
    for name, value in {
        "model": "llama-3-8b",
        "cover": "blocks 64",
        "momentum": "int8",
        "weights": "bf16",
    }.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    assert "# SM3 keeps 7.60 GiB of state, AdamW 29.9 GiB: 22.3 GiB back." in words(app)
    assert app.selectbox(key="cover").value == "blocks 64"


def test_a_model_without_an_estimate_asks_for_it(app: AppTest) -> None:
    app.query_params["model"] = "resnet-50"
    app.run()
    assert "Sample, MiB" in [field.label for field in app.number_input]
    app.number_input(key="sample").set_value(100.0).run()
    assert not app.exception


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("model", "bert-larg", "did you mean 'bert-large'"),
        ("job", "nobody", "There is no job 'nobody'"),
        ("cover", "rowz", "“rowz” is no cover. There are slices, rows"),
        ("rules", "*nowhere* = rows", "*nowhere*"),
        ("rules", "embed", "“embed” is no rule"),
    ],
)
def test_what_an_address_cannot_mean_is_told_in_a_sentence(
    app: AppTest, name: str, value: str, told: str
) -> None:
    app.query_params[name] = value
    app.run()
    assert not app.exception
    assert told in words(app)
    assert "Where did the bytes go?" in words(app)


def test_a_fault_keeps_what_was_last_right(app: AppTest) -> None:
    app.run()
    app.text_input(key="rules").set_value("embed").run()
    assert not app.exception
    assert "“embed” is no rule" in words(app)
    assert "Below is the last that was answered" in words(app)
    assert BERT in words(app)


def test_a_job_is_predicted_and_measured_with_what_it_means(app: AppTest, done: JobView) -> None:
    app.query_params["job"] = done.id
    app.run()
    assert not app.exception
    assert "# SM3 keeps 3.57 MiB of state, AdamW 7.04 MiB: 3.48 MiB back." in words(app)
    assert "Fp32 momentum:" in words(app)
    app.selectbox(key="momentum").set_value("none").run()
    assert "# SM3 would keep 47.6 KiB of state" in words(app)


def test_a_job_is_asked_about_again_only_while_it_can_change_also_when_picked_on_the_page(
    app: AppTest, service: RunningService, done: JobView
) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=1_000_000))
        app.run()
        for picked, may_change in ((done, False), (job, True), (done, False)):
            app.selectbox(key="memory/pick").set_value(f"job/{picked.id}").run()
            assert app.session_state["memory/timed"] is may_change
        client.cancel(job.id)
    service.wait_for(job.id, lambda job: job.state.is_final)


def test_a_service_that_goes_away_leaves_the_last_view_marked_stale(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.query_params["momentum"] = "none"
    app.run()
    monkeypatch.setenv("SM3_URL", f"http://127.0.0.1:{free_port()}")
    app.run()
    assert not app.exception
    assert "▲ STALE" in words(app)
    assert ALSO_BERT in words(app)
    assert app.query_params["momentum"] in ("none", ["none"])  # the address still says what is shown


@pytest.mark.parametrize("token", ["none", ""])
def test_without_permission_it_says_so(app: AppTest, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("SM3_TOKEN", token or "sm3_wrong")
    app.run()
    assert not app.exception
    assert "# The service refused." in words(app)


def charts(page: Page, count: int) -> None:
    page.wait_for_function(f"document.querySelectorAll('.sm3-chart[data-draws]').length >= {count}")


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_a_changed_control_changes_message_picture_and_address_and_the_address_is_the_view(
    dashboard: RunningDashboard, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/memory?model=bert-large")
    expect(page.locator("h1")).to_have_text(BERT)
    charts(page, 3)
    table = page.locator("[data-chart='tensors-bert-large']")
    expect(table.locator("tbody tr")).to_have_count(398)
    table.get_by_role("searchbox").fill("word_embeddings.weight")
    expect(table.locator("tbody tr")).to_have_count(1)
    expect(table.locator("tbody tr")).to_contain_text("30,522 + 1,024")

    page.get_by_role("combobox", name="Momentum").click()
    page.get_by_role("option", name="none").click()
    expect(page.locator("h1")).to_have_text(ALSO_BERT)
    expect(table.locator("tbody tr")).to_contain_text("123 KiB")  # what was searched for stays
    page.wait_for_url("**momentum=none**")

    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator("h1")).to_have_text(ALSO_BERT)


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_a_jobs_card_says_that_prediction_and_measurement_agree(
    dashboard: RunningDashboard, done: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/memory?job={done.id}", width=480, scheme="dark")
    charts(page, 3)
    card = page.locator("[data-chart='measured-language-model-tiny']")
    expect(card.locator("h2")).to_have_text("Predicted and measured: 0 B apart ✓")
    expect(card.locator("tbody tr", has_text="optimizer state")).to_contain_text("0 B ✓")
    assert page.evaluate("document.documentElement.scrollWidth") <= 480

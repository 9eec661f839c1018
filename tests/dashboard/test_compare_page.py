"""The Compare page as people see it: real Chromium, real dashboard, real service, real training."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from dashboard.figures.compare_maps import Facts, panel
from dashboard.figures.compare_sources import of_jobs
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import ComparisonView
from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, free_port, tiny_job
from tests.dashboard.compare_cases import job as made_up
from tests.dashboard.conftest import OpenPage, RunningDashboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(480)]

QKV = "blocks.0.attention.qkv.weight"
RECORD = {
    "every": 5,
    "truth": [QKV],
    "shadows": [
        {"cover": {"kind": "slices", "dims": [0]}, "label": "rows"},
        {"cover": {"kind": "whole"}},
        {"cover": {"kind": "singletons"}},
    ],
}
STATE = """() => {
  const root = document.querySelector(".sm3-maps");
  const plot = root.querySelector(".sm3-plot");
  const names = Object.keys(plot._fullLayout).filter((name) => /^xaxis\\d*$/.test(name));
  return {
    step: Number(root.dataset.step),
    draws: Number(root.dataset.draws),
    ranges: names.map((name) => plot._fullLayout[name].range.map(Math.round)),
    scales: [...new Set(plot._fullData.filter(({ type }) => type === "heatmap").map(({ coloraxis }) => coloraxis))],
    maps: plot._fullData.filter(({ type }) => type === "heatmap").length,
    z: plot._fullData.find(({ type }) => type === "heatmap")?.z?.[0]?.[0],
    mark: plot.dataset.mark ?? null,
  };
}"""


@pytest.fixture(scope="module")
def race(service: RunningService) -> ComparisonView:
    """A finished race of three tiny jobs; the third has no cover."""
    spec = ComparisonSpec.model_validate({
        "base": tiny_job(steps=20, validation={"every": 5}).model_dump(mode="json"),
        "variants": [
            {"name": "slices"},
            {"name": "whole", "change": {"optimizer": {"cover": {"kind": "whole"}}}},
            {"name": "<b>adamw</b>", "change": {"optimizer": {"name": "adamw"}}},
        ],
    })
    with service.client as client:
        made = client.compare(spec)
        for variant in made.variants:
            for job_id in variant.jobs:
                assert job_id
                service.wait_for(job_id, JobState.SUCCEEDED, timeout_s=120)
        return client.comparison(made.id)


@pytest.fixture
def following(service: RunningService, race: ComparisonView) -> Iterator[JobView]:
    """A job that trains on and follows other covers; started once the race is done, for there is one slot."""
    with service.client as client:
        job = client.launch(tiny_job(steps=1_000_000, record=RECORD))
        yield job
        client.cancel(job.id)
    service.wait_for(job.id, JobState.CANCELLED)


def wait_for_maps(page: Page) -> None:
    maps = "document.querySelector('.sm3-maps .sm3-plot')?._fullData"
    page.wait_for_function(f"{maps}?.some(({{ type }}) => type === 'heatmap')")


def state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(STATE)
    return found


def test_shadows_share_scale_zoom_crosshair_and_step_and_refresh_moves_none_of_them(
    dashboard: RunningDashboard, following: JobView, open_page: OpenPage, service: RunningService
) -> None:
    service.wait_for(following.id, lambda job: job.progress.step >= 10)
    page = open_page(f"{dashboard.url}/compare?source=shadows&job={following.id}&tensor={QKV}")
    wait_for_maps(page)
    expect(page.locator("h1")).to_contain_text(
        re.compile(r"On blocks.0.attention.qkv.weight, \w+ spreads [\d.]+ bits")
    )
    found = state(page)
    assert found["maps"] == 4
    assert found["scales"] == ["coloraxis"]

    page.evaluate("document.querySelector('.sm3-maps .sm3-plot').dataset.mark = 'the same node'")
    box = page.locator(".sm3-maps .sm3-plot").bounding_box()
    assert box
    x, y = box["x"] + 48, box["y"] + 44
    page.mouse.move(x + 40, y + 40)
    page.mouse.down()
    page.mouse.move(x + 120, y + 120, steps=4)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.sm3-maps .sm3-plot')._fullLayout.xaxis.range[0] > 0")
    zoomed = state(page)
    assert len({tuple(r) for r in zoomed["ranges"]}) == 1
    page.mouse.move(x + 60, y + 60)
    readout = page.locator(".sm3-maps .sm3-readout")
    expect(readout).to_contain_text(
        re.compile(r"row \d+ ∧ column \d+, bits: ● slices, trains [\d.]+.*AdaGrad \(truth\) 0\.00")
    )
    assert page.locator(".sm3-maps .sm3-cross").count() == 8

    page.wait_for_function(
        "(step) => Number(document.querySelector('.sm3-maps').dataset.step) > step", arg=zoomed["step"]
    )
    later = state(page)
    assert later["ranges"] == zoomed["ranges"]
    assert later["mark"] == "the same node"

    page.get_by_label("Step", exact=True).press("Home")
    page.wait_for_function("document.querySelector('.sm3-maps').dataset.step === '1'")  # of the first frame
    page.wait_for_url(re.compile(r"step=1\b"))
    assert state(page)["ranges"] == zoomed["ranges"]
    page.get_by_role("button", name="ν", exact=True).click()
    page.wait_for_url(re.compile(r"show=nu"))
    expect(page.locator(".sm3-maps h2")).to_contain_text("gradient²")


def test_from_a_finished_race_to_which_cover_holds(
    dashboard: RunningDashboard, race: ComparisonView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/compare")  # nothing asked for: the newest race
    wait_for_maps(page)
    expect(page.locator("h1")).to_contain_text("whole")
    verdicts = page.locator("[data-chart='verdicts against slices']")
    expect(verdicts.locator("tbody tr")).to_have_count(3)
    expect(verdicts).to_contain_text("<b>adamw</b>")
    expect(page.locator("[data-chart='settings that differ'] tbody")).to_contain_text("optimizer.cover.kind")
    expect(page.locator(".sm3-maps .annotation-text").filter(has_text="no cover")).to_have_count(1)

    verdicts.get_by_role("button", name="whole").click()
    page.wait_for_url(re.compile("reference=whole"))
    expect(page.locator("[data-chart='verdicts against whole']")).to_be_visible()
    page.get_by_role("button", name=re.compile("adamw")).first.click()  # one cover less
    page.wait_for_url(re.compile("cover=slices&cover=whole"))
    page.wait_for_function("document.querySelector('.sm3-maps .sm3-plot')._fullLayout.xaxis3 === undefined")

    again = open_page(page.url, scheme="dark", width=480)  # the link says it all
    wait_for_maps(again)
    expect(again.locator("[data-chart='verdicts against whole']")).to_be_visible()
    assert state(again)["maps"] == 2
    assert again.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_steps_play_to_the_newest_and_only_where_they_end_is_in_the_address(
    dashboard: RunningDashboard, race: ComparisonView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/compare?source=race&race={race.id}&tensor={QKV}")
    wait_for_maps(page)
    page.evaluate("""() => {
      const root = document.querySelector(".sm3-maps");
      window.seen = [];
      new MutationObserver(() => window.seen.push(root.dataset.step)).observe(root, { attributeFilter: ["data-step"] });
    }""")
    entries = page.evaluate("history.length")
    play = page.get_by_role("button", name="Play from the first frame (space)")
    play.click()
    expect(page.get_by_role("button", name="Stop playing (space)")).to_be_visible()
    expect(play).to_be_visible()  # again
    expect(page.get_by_role("button", name="newest", exact=True)).to_have_attribute("aria-pressed", "true")
    steps = [int(step) for step in page.evaluate("seen")]
    assert [step for step, before in zip(steps, [None, *steps], strict=False) if step != before] == [
        1,
        5,
        10,
        15,
        20,
    ]
    assert page.evaluate("history.length") == entries
    assert "step=" not in page.url

    page.get_by_label("Step", exact=True).press(" ")
    page.wait_for_function("document.querySelector('.sm3-maps').dataset.step !== '20'")
    page.get_by_label("Step", exact=True).press(" ")
    page.wait_for_url(re.compile(r"step=\d+"))
    held = re.search(r"step=(\d+)", page.url)
    assert held
    assert 1 <= int(held[1]) < 20
    page.wait_for_function("(step) => document.querySelector('.sm3-maps').dataset.step === step", arg=held[1])
    page.wait_for_timeout(1000)
    assert state(page)["step"] == int(held[1])


def test_what_the_address_names_and_is_not_there_is_told(
    dashboard: RunningDashboard, race: ComparisonView, open_page: OpenPage
) -> None:
    ids = [job for variant in race.variants for job in variant.jobs]
    gone = "01a00000-0000-7000-8000-000000000000"
    query = "&".join(f"job={job}" for job in (*ids, gone, "nonsense"))
    page = open_page(f"{dashboard.url}/compare?{query}&tensor=nowhere&step=soon&cover=x&show=rate")
    wait_for_maps(page)
    for told in (
        f"no job '{gone}'",
        "no job 'nonsense'",
        "called 'nowhere'",
        "step 'soon'",
        "called 'x'",
        "show 'rate'",
    ):
        expect(page.get_by_text(told)).to_be_visible()
    page.goto(f"{dashboard.url}/compare?race={gone}")
    expect(page.locator("h1")).to_have_text("No race to show.")
    expect(page.get_by_text(f"no race '{gone}'")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Race: "))).to_be_visible()


def test_the_browser_reads_the_maps_that_python_packed(
    dashboard: RunningDashboard, open_page: OpenPage
) -> None:
    values = np.array([[1.0, 0.0, 1e-7], [np.inf, 3.5, 2.0]])
    facts = Facts(shape=(2, 3), arrays={"accumulators/entries/w": values})
    payload = panel(of_jobs([made_up()])[0], facts, "w", "nu").payload()
    page = open_page(f"{dashboard.url}/_stcore/health")
    module = f"{dashboard.url}/scope-assets/any/side_by_side/panels.js"
    read = page.evaluate(
        f"async (z) => [...(await import('{module}')).unpack(z)].map((x) => (Number.isNaN(x) ? null : x))",
        payload["z"],
    )
    assert read == pytest.approx([0.0, None, -7.0, None, np.log10(3.5), np.log10(2.0)], abs=1 / 256)
    assert base64.b64decode(str(payload["z"]))
    layouts = page.evaluate(
        f"async () => {{ const {{ arrange }} = await import('{module}');"
        " return [1400, 960, 430].map((width) => arrange(6, width).columns); }"
    )
    assert layouts == [6, 3, 2]


def compare_script() -> None:
    """What AppTest runs to see the page: it cannot follow `st.navigation`."""
    from dashboard.views import compare

    compare.page()


@pytest.fixture
def seen_from(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Points a page at a service."""

    def look(url: str, token: str) -> AppTest:
        monkeypatch.setenv("SM3_URL", url)
        monkeypatch.setenv("SM3_TOKEN", token)
        return AppTest.from_function(compare_script, default_timeout=60).run()

    yield look
    st.cache_resource.clear()


def test_without_a_service_the_page_says_so(seen_from: Any) -> None:
    app = seen_from(f"http://127.0.0.1:{free_port()}", "none")
    assert "does not answer" in app.markdown[0].value
    assert not app.exception


def test_when_the_service_goes_the_last_answer_stays_and_is_called_stale(
    service: RunningService, race: ComparisonView, seen_from: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = seen_from(service.url, service.token)
    headline = app.markdown[0].value
    assert app.query_params["race"] in ([race.id], race.id)
    monkeypatch.setenv("SM3_URL", f"http://127.0.0.1:{free_port()}")
    app.run()
    assert app.markdown[0].value == headline
    assert "STALE" in app.markdown[1].value
    assert not app.exception


def test_with_nothing_to_compare_the_form_is_open_and_launches_a_race(
    own_service: RunningService, seen_from: Any, tmp_path: Path
) -> None:
    app = seen_from(own_service.url, own_service.token)
    assert "Nothing to compare yet" in app.markdown[0].value
    assert any("/v1/comparisons" in code.value for code in app.code)
    app.number_input(key="race/seeds").set_value(1).run()
    app.button[0].click().run()
    assert not app.exception
    with own_service.client as client:
        (made,) = client.comparisons().items
        assert [v.name for v in made.variants] == ["slices", "rows", "blocks-64", "whole"]
        assert app.query_params["race"] in ([made.id], made.id)
        assert "0 of 4 runs are done, none at a step yet" in app.markdown[0].value
        client.cancel_comparison(made.id)

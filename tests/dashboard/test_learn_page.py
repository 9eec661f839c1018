"""The Learn page as a class sees it: guess, reveal, paint, keys, and what it says when there is nothing to show."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from dashboard.lessons.registry import LESSONS
from tests.conftest import RunningService
from tests.dashboard.conftest import OpenPage, RunningDashboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

OpenLesson = Callable[..., Page]


@pytest.fixture
def open_lesson(open_page: OpenPage) -> OpenLesson:
    """Opens an address of the Learn page directly, as a link does."""

    def open_(dashboard: RunningDashboard, query: str, **how: object) -> Page:
        return open_page(f"{dashboard.url}/learn?{query}", **how)

    return open_


def cells(page: Page, grid: str) -> list[str]:
    found: list[str] = page.locator(f"[data-grid={grid}] .sm3-cell > span").all_inner_texts()
    return found


def test_a_guess_is_judged_with_the_real_number_and_a_link_shows_the_same(
    dashboard: RunningDashboard, open_lesson: OpenLesson
) -> None:
    page = open_lesson(dashboard, "lesson=1")
    expect(page.locator(".sm3-lesson h1")).to_contain_text("What is ν at row 3, column 4?")
    assert set(cells(page, "nu")) == {"?"}
    page.get_by_role("button", name="18", exact=True).click()
    expect(page.locator(".sm3-lesson h1")).to_contain_text("First the min")
    page.get_by_role("button", name="Step on").click()
    expect(page.locator(".sm3-verdict")).to_contain_text("you said 18. It is 13.")
    expect(page.locator("[data-grid=nu] .sm3-cell > span").nth(13)).to_have_text("13")
    page.wait_for_url(re.compile(r"(?=.*guess=max)(?=.*step=3)"))
    again = open_lesson(dashboard, page.url.partition("?")[2], scheme="dark")
    expect(again.locator(".sm3-verdict")).to_contain_text("you said 18. It is 13.")
    page.go_back()
    expect(page.locator(".sm3-lesson h1")).to_contain_text("First the min")


def test_gradients_and_sets_are_painted_by_mouse_and_by_keyboard(
    dashboard: RunningDashboard, open_lesson: OpenLesson
) -> None:
    page = open_lesson(dashboard, f"lesson=1&step=5&cover=own&edit=setB&paint={'1' * 20}")
    headline = page.locator(".sm3-lesson h1")
    expect(headline).to_contain_text("keeps 1 number;")
    board = page.locator("[data-grid=bound] .sm3-cell")
    board.nth(0).hover()
    page.mouse.down()
    board.nth(1).hover()
    board.nth(2).hover()
    page.mouse.up()
    expect(headline).to_contain_text("keeps 2 numbers")
    page.wait_for_url(lambda url: f"paint=333{'1' * 17}" in url)
    board.nth(2).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(board.nth(3).locator("i")).to_have_text("AB")
    expect(board.nth(3)).to_be_focused()

    page.get_by_role("button", name="g now").click()
    new = page.locator("[data-grid=g2] .sm3-cell")
    expect(page.locator("[data-grid=g2] h2")).to_contain_text("being set")
    new.nth(0).focus()
    page.keyboard.press("7")
    page.get_by_role("button", name="look").click()
    expect(new.nth(0)).to_have_text("49")
    new.nth(0).click()
    expect(new.nth(0)).to_have_attribute("aria-selected", "true")
    page.wait_for_url(lambda url: "at=0" in url)


def test_what_is_asked_before_the_last_answer_came_undoes_nothing(
    dashboard: RunningDashboard, open_lesson: OpenLesson
) -> None:
    page = open_lesson(dashboard, f"lesson=1&step=5&cover=own&edit=now&paint={'1' * 20}")
    title = page.locator("[data-grid=g2] h2")
    for digit, wait_ms in ((7, 0), (3, 20), (8, 50), (2, 100), (6, 200)):
        expect(title).to_contain_text("being set")
        page.evaluate(
            """async ([digit, waitMs]) => {
              const cell = document.querySelector("[data-grid=g2] .sm3-cell");
              cell.focus();
              cell.dispatchEvent(new KeyboardEvent("keydown", { key: String(digit), bubbles: true }));
              if (waitMs) await new Promise((resolve) => setTimeout(resolve, waitMs));
              [...document.querySelectorAll(".sm3-segment")].find(({ textContent }) => textContent === "look").click();
            }""",
            [digit, wait_ms],
        )
        expect(title).not_to_contain_text("being set")
        expect(page.locator("[data-grid=g2] .sm3-cell").first).to_have_text(str(digit**2), timeout=10_000)
        page.get_by_role("button", name="g now").click()


def test_a_teacher_goes_on_by_arrow_keys_in_larger_type(
    dashboard: RunningDashboard, open_lesson: OpenLesson
) -> None:
    page = open_lesson(dashboard, "lesson=7&step=3")
    head = page.locator(".sm3-lesson")
    size = "(e) => parseFloat(getComputedStyle(e.querySelector('h1')).fontSize)"
    expect(head).to_have_attribute("data-step", "3")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    expect(head).to_have_attribute("data-step", "3")
    small = head.evaluate(size)
    page.get_by_role("button", name="Teacher’s mode").click()
    expect(head).to_have_attribute("data-teacher", "true")
    assert head.evaluate(size) > 1.3 * small
    page.keyboard.press("ArrowRight")
    expect(head).to_have_attribute("data-step", "4")
    page.keyboard.press("PageDown")
    expect(head).to_have_attribute("data-lesson", "8")
    expect(head).to_have_attribute("data-step", "1")
    page.keyboard.press("ArrowLeft")
    expect(head).to_have_attribute("data-lesson", "7")
    page.wait_for_url(lambda url: "teacher=1" in url)


def test_no_lesson_overflows_or_clips_its_message(
    dashboard: RunningDashboard, open_lesson: OpenLesson, service: RunningService
) -> None:
    page = open_lesson(dashboard, "lesson=1&step=3", width=1024, height=768)
    for number, lesson in enumerate(LESSONS, 1):
        page.locator(f"[data-key=lesson-{number}]").click()
        expect(page.locator(".sm3-lesson")).to_have_attribute("data-lesson", str(number))
        expect(page.locator(".sm3-pill[aria-current]")).to_contain_text(lesson.title)
        found = page.evaluate(
            """() => ({
              overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
              clipped: [...document.querySelectorAll(".sm3-lesson h1, .sm3-lessontext, .sm3-ask p, .sm3-cell > span")]
                .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline")
                .map((e) => e.textContent),
            })"""
        )
        assert found == {"overflow": 0, "clipped": []}, lesson.slug


def test_an_unknown_lesson_is_one_sentence_and_a_way_back(
    dashboard: RunningDashboard, open_lesson: OpenLesson
) -> None:
    page = open_lesson(dashboard, "lesson=12&cover=x")
    expect(page.locator(".st-key-notice")).to_contain_text("a whole number from 1 to 8")
    page.get_by_role("button", name="Start with the first lesson").click()
    expect(page.locator(".sm3-lesson")).to_have_attribute("data-lesson", "1")


def test_without_jobs_a_demo_is_offered_and_without_a_service_the_last_view_stays(
    own_service: RunningService, own_dashboard: RunningDashboard, open_lesson: OpenLesson
) -> None:
    page = open_lesson(own_dashboard, "lesson=5")
    expect(page.locator(".sm3-lesson h1")).to_contain_text("none has been recorded yet")
    expect(page.get_by_role("button", name="Run the demo")).to_be_visible()
    page.locator("[data-key=lesson-6]").click()
    expect(page.locator(".sm3-lesson")).to_have_attribute("data-lesson", "6")
    own_service.stop()
    page.get_by_role("button", name="Step on").or_(page.get_by_role("button", name="Show without")).click()
    expect(page.locator(".sm3-lessonstale")).to_contain_text("does not answer")
    expect(page.locator(".sm3-lesson h1")).to_contain_text("BERT-Large")
    fresh = open_lesson(own_dashboard, "lesson=2")
    expect(fresh.locator(".st-key-notice")).to_contain_text("does not answer")

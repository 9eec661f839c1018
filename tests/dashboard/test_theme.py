"""Colours can be read: WCAG contrast of what is text on what is ground."""

from __future__ import annotations

import pytest

from dashboard import theme


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("textColor", "backgroundColor"),
        ("textColor", "secondaryBackgroundColor"),
        ("linkColor", "backgroundColor"),
        ("orangeTextColor", "orangeBackgroundColor"),
        ("redTextColor", "redBackgroundColor"),
    ],
)
def test_text_stands_out(name: str, text: str, ground: str) -> None:
    options = theme.options()
    assert contrast(options[f"theme.{name}.{text}"], options[f"theme.{name}.{ground}"]) >= 4.5


@pytest.mark.parametrize("name", ["light", "dark"])
def test_a_primary_button_carries_white(name: str) -> None:
    assert contrast(theme.options()[f"theme.{name}.primaryColor"], "#ffffff") >= 4.5


def test_both_themes_say_the_same_things() -> None:
    names = {theme_: set() for theme_ in ("light", "dark")}
    for option in theme.options():
        _, theme_, name = option.split(".")
        names[theme_].add(name)
    assert names["light"] == names["dark"]

"""The lessons in their order. To add one: a file beside this, a line here."""

from __future__ import annotations

from dashboard.lessons import activation, adafactor, bounds, ledger, paint, poison, slider, warmup
from dashboard.lessons.scene import Lesson

LESSONS: tuple[Lesson, ...] = tuple(
    module.LESSON for module in (paint, bounds, slider, poison, activation, ledger, warmup, adafactor)
)

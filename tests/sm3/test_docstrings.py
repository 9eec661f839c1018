"""The examples in the docstrings are true."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "sm3.update",
        "sm3.optimizer",
        "sm3.schedules",
        "sm3.covers.registry",
        "sm3.covers.policy",
        "sm3.probes.recorder",
        "sm3.advisor.advise",
        "sm3.ledger",
        "sm3.ledger.account",
        "sm3.ledger.answers",
        "sm3.ledger.command",
        "sm3.ledger.fits",
        "sm3.ledger.shapes",
        "sm3.ledger.words",
        "sm3.remote.ledger_specs",
    ],
)
def test_examples_run(module):
    failed, tried = doctest.testmod(import_module(module))
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize("page", ["optimizer.md", "statistics.md", "ledger.md"])
def test_the_code_in_the_guides_runs(page):
    guide = (Path(__file__).parents[2] / "docs" / page).read_text()
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {})

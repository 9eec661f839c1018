"""The examples in the docstrings are true."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "module", ["sm3.update", "sm3.optimizer", "sm3.schedules", "sm3.covers.registry", "sm3.covers.policy"]
)
def test_examples_run(module):
    failed, tried = doctest.testmod(import_module(module))
    assert tried > 0
    assert failed == 0


def test_the_code_in_the_guide_runs():
    guide = (Path(__file__).parents[2] / "docs" / "optimizer.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {})

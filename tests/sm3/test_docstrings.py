"""The examples in the docstrings are true."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "module", ["sm3.update", "sm3.optimizer", "sm3.schedules", "sm3.covers.registry", "sm3.covers.policy"]
)
def test_examples_run(module):
    failed, tried = doctest.testmod(import_module(module))
    assert tried > 0
    assert failed == 0

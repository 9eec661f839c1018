"""The Triton kernel, under Triton's interpreter."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from sm3 import SM3


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed (extra [triton])")
def test_it_equals_the_definition_under_the_interpreter():
    script = Path(__file__).with_name("triton_equals_update.py")
    paths = os.pathsep.join([str(script.parents[2]), *filter(None, sys.path)])
    run = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == "equal", run.stderr


def test_without_a_gpu_it_refuses_and_says_why():
    p = torch.nn.Parameter(torch.randn(3, 4))
    with pytest.raises(ValueError, match=r"'triton' cannot serve .* the tensor is on cpu"):
        SM3([p], 0.1, kernel="triton")

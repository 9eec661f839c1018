"""`import sm3` is cheap, and what must not need torch does not."""

import subprocess
import sys

import pytest

import sm3


def loads_torch(code):
    probe = f"{code}\nimport sys\nprint('torch' in sys.modules)"
    return subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import sm3",
        "import sm3.remote.cover_specs",
        "from sm3.covers import from_spec; assert from_spec('slices').num_accumulators((50, 20)) == 70",
    ],
)
def test_no_torch_is_loaded_by(code):
    assert loads_torch(code) == "False"


def test_public_names_load_on_first_use():
    assert loads_torch("from sm3 import SM3") == "True"
    assert set(sm3._HOME) <= set(dir(sm3))
    for name in sm3._HOME:
        assert getattr(sm3, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'SM4'; public names"):
        _ = sm3.SM4

"""What a worker measures of itself."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from server.worker.memory import memory_series, peak_rss_bytes
from sm3 import SM3

CPU = torch.device("cpu")


def test_state_and_process_are_measured_in_bytes() -> None:
    param = torch.nn.Parameter(torch.zeros(300, 200))
    optimizer = SM3([param], lr=0.1)
    assert memory_series(optimizer, CPU)["memory_state_bytes"] == 0
    param.grad = torch.ones_like(param)
    optimizer.step()
    found = memory_series(optimizer, CPU)
    assert found["memory_state_bytes"] == optimizer.state_bytes().total_bytes == 4 * (300 * 200 + 500)
    assert found["memory_rss_bytes"] > 20 * 2**20
    assert set(found) <= {"memory_state_bytes", "memory_rss_bytes", "memory_peak_rss_bytes"}


def test_memory_that_is_shared_counts_once() -> None:
    param, other = torch.nn.Parameter(torch.zeros(10)), torch.nn.Parameter(torch.zeros(10))
    optimizer = torch.optim.SGD([param, other])
    table = torch.zeros(100)
    optimizer.state[param] = {"table": table, "view": table[:5], "step": 7}
    optimizer.state[other] = {"table": table}
    assert memory_series(optimizer, CPU)["memory_state_bytes"] == 400


@pytest.mark.skipif(platform.system() != "Linux", reason="VmHWM is Linux's")
def test_the_peak_is_that_of_the_process_itself_not_of_who_started_it(tmp_path: Path) -> None:
    held = bytearray(200 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    code = "from server.worker.memory import peak_rss_bytes; print(peak_rss_bytes())"
    child = int(subprocess.check_output([sys.executable, "-c", code]))
    own = peak_rss_bytes()
    assert own is not None
    assert own >= len(held)
    bare = "import torch, psutil; print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    assert child < 1024 * int(subprocess.check_output([sys.executable, "-c", bare])) + 100 * 2**20


@pytest.mark.skipif(platform.system() != "Linux", reason="VmHWM is Linux's")
def test_a_status_without_a_peak_is_no_peak(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\n")
    assert peak_rss_bytes(tmp_path / "status") is None

"""Python, torch, the kernel that steps would take, CUDA, and the clock."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from sm3.remote.health_views import Check, Verdict

_MIN_PYTHON = (3, 11)
_MIN_TORCH = (2, 10)
_BUILT = datetime(2026, 1, 1, tzinfo=UTC)


def python() -> Check:
    """Checks the interpreter's version."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < _MIN_PYTHON:
        wanted = ".".join(map(str, _MIN_PYTHON))
        return Check(
            name="python",
            verdict=Verdict.FAILED,
            found=found,
            remedy=f"Install Python {wanted} or newer, and the package anew.",
        )
    return Check(name="python", verdict=Verdict.OK, found=found)


def clock(now: datetime) -> Check:
    """Checks that the clock is set at all: times are shown and stored; order and leases do not hang on it."""
    found = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < _BUILT:
        return Check(
            name="clock",
            verdict=Verdict.WARNING,
            found=f"{found} is before this version was made",
            remedy="Set the clock (`timedatectl set-ntp true`), or times that are shown are wrong.",
        )
    return Check(name="clock", verdict=Verdict.OK, found=found)


def torch() -> Iterator[Check]:
    """Checks torch, CUDA, and which kernel a step takes; loads torch, which takes seconds."""
    try:
        found = version("torch")
        import torch as library
    except (PackageNotFoundError, ImportError, OSError) as error:
        yield Check(
            name="torch",
            verdict=Verdict.FAILED,
            found=f"it cannot be loaded: {error}",
            remedy="Install it: pip install 'torch>=2.10'. Serving works without it, training does not.",
        )
        return
    numbers = tuple(int(part) for part in found.split("+")[0].split(".")[:2] if part.isdigit())
    build = f"CUDA {library.version.cuda}" if library.version.cuda else "CPU build"
    told = f"{found} ({build}, {library.get_num_threads()} threads)"
    if numbers < _MIN_TORCH:
        wanted = ".".join(map(str, _MIN_TORCH))
        yield Check(
            name="torch",
            verdict=Verdict.FAILED,
            found=told,
            remedy=f"Version {wanted} or newer is needed: pip install --upgrade torch.",
        )
    else:
        yield Check(name="torch", verdict=Verdict.OK, found=told)
    yield _cuda(is_built=library.version.cuda is not None)
    yield from _kernels()


def _cuda(*, is_built: bool) -> Check:
    import torch as library

    if library.cuda.is_available():
        names = [library.cuda.get_device_name(index) for index in range(library.cuda.device_count())]
        return Check(name="cuda", verdict=Verdict.OK, found=", ".join(names))
    if is_built:
        return Check(
            name="cuda",
            verdict=Verdict.WARNING,
            found="torch is built for it, but finds no device",
            remedy="See `nvidia-smi` and CUDA_VISIBLE_DEVICES; jobs with device 'auto' train on the CPU.",
        )
    return Check(name="cuda", verdict=Verdict.OK, found="none; jobs train on the CPU")


def _kernels() -> Iterator[Check]:
    """Asks the optimizer itself, for a small matrix on each kind of device there is."""
    import torch as library

    from sm3.optimizer import SM3

    devices = ["cpu", *(["cuda"] if library.cuda.is_available() else [])]
    for device in devices:
        parameter = library.nn.Parameter(library.zeros(8, 8, device=device))
        (choice,) = SM3([parameter], lr=0.1).kernels()
        fast = {"cpu": "cpu", "cuda": "triton"}[device]
        found = f"{choice.kernel} ({choice.reason})"
        if choice.kernel == fast:
            yield Check(name=f"kernel on {device}", verdict=Verdict.OK, found=found)
            continue
        remedy = {
            "cpu": "Steps take longer. Install a C compiler (Debian: gcc libc6-dev) and the package anew.",
            "cuda": "Steps take longer. Install Triton: pip install 'sm3-scope[triton]'.",
        }[device]
        yield Check(name=f"kernel on {device}", verdict=Verdict.WARNING, found=found, remedy=remedy)

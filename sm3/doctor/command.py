"""The command `sm3 doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.text import Text

from sm3.doctor import data_folder, machine, service
from sm3.remote.health_views import Check, Verdict
from sm3.remote.settings import ClientSettings

_CHECKS = TypeAdapter(tuple[Check, ...])
_MARK = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARNING: ("▲", "yellow"),
    Verdict.FAILED: ("✕", "red"),
}
_DIAGNOSIS_S = 300.0


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document instead of lines")] = False,
) -> None:
    """Check this machine, the data folder, the store and the service; say what to do where something is wrong.

    The exit status is 1 if a check failed (✕); warnings (▲) stop nothing.
    """
    console = Console()
    checks: list[Check] = []
    for check in every_check(ClientSettings()):
        checks.append(check)
        if not as_json:
            console.print(line(check), highlight=False, soft_wrap=True)
    failed = any(check.verdict is Verdict.FAILED for check in checks)
    if as_json:
        listed = [check.model_dump(mode="json") for check in checks]
        print(json.dumps({"ok": not failed, "checks": listed}, indent=1))  # noqa: T201 - for jq
    if failed:
        raise typer.Exit(1)


def every_check(settings: ClientSettings) -> Iterator[Check]:
    """Yields the checks as they are made, the quick ones first."""
    now = datetime.now(UTC)
    yield machine.python()
    yield machine.clock(now)
    yield from data_folder.check(settings.data_dir)
    yield from _diagnosis()
    yield from service.check(settings, now)
    yield from machine.torch()


def line(check: Check) -> Text:
    """Returns a check as a line, and under it what to do."""
    mark, style = _MARK[check.verdict]
    text = (
        Text(f"{mark} ", style=style).append(f"{check.name:<24}", style="bold").append(check.found, style="")
    )
    if check.remedy and check.verdict is not Verdict.OK:
        text.append(f"\n  → {check.remedy}", style=style)
    return text


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""
    app.command()(doctor)


def _diagnosis() -> Iterator[Check]:
    """Asks the service's code about settings and store; the library does not import it."""
    command = [sys.executable, "-m", "server.diagnosis"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DIAGNOSIS_S, check=False)
        yield from _CHECKS.validate_json(done.stdout)
    except subprocess.TimeoutExpired:
        yield _no_diagnosis(f"no answer within {_DIAGNOSIS_S:.0f} s")
    except ValidationError:
        words = done.stderr.strip().splitlines()
        yield _no_diagnosis(words[-1] if words else f"exit status {done.returncode}")


def _no_diagnosis(found: str) -> Check:
    remedy = f"Run `{sys.executable} -m server.diagnosis` and read what it says."
    return Check(name="store", verdict=Verdict.FAILED, found=f"cannot be checked: {found}", remedy=remedy)

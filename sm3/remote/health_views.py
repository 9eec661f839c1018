"""What the service answers about its own health. No token is needed, and nothing secret is told."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from sm3.remote.wire import Problem, View


class Verdict(StrEnum):
    """How a check came out; a warning is worth a look and stops nothing."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class Check(View):
    """One check: what was looked at, what was found, and what to do where that is not well."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


class Health(View):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str = Field("", description="the service's version; OpenAPI tells the same")


class Ready(View):
    """The service can do its work: each check and what it found."""

    status: Literal["ok"] = "ok"
    checks: tuple[Check, ...]


class NotReady(Problem):
    """Why the service cannot do its work: the problem document of ``/readyz``."""

    checks: tuple[Check, ...] = ()

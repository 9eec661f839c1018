"""The service: does it answer, is it of our version, can it work, do its workers live?"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from sm3.remote.client import Client, RemoteError, ServiceError
from sm3.remote.health_views import Check, Health, NotReady, Ready, Verdict
from sm3.remote.settings import ClientSettings

_TIMEOUT_S = 5.0
_MAX_SKEW_S = 30.0
_HAVE_WORKER = frozenset({"starting", "running", "pausing", "cancelling"})


def check(settings: ClientSettings, now: datetime) -> Iterator[Check]:
    """Checks the service that ``settings`` name, from here.

    Args:
        settings: its address, the token, and the data folder where it is on this machine.
        now: the time here, with its zone.
    """
    try:
        answer = httpx.get(f"{settings.url.rstrip('/')}/healthz", timeout=_TIMEOUT_S, trust_env=False)
        health = Health.model_validate_json(answer.content) if answer.is_success else None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield _away(settings.url, error)
        return
    except ValidationError:
        health = None
    if health is None:
        yield Check(
            name="service",
            verdict=Verdict.FAILED,
            found=f"something else answers at {settings.url} (HTTP {answer.status_code})",
            remedy="Stop what uses the port, or set SM3_URL to the service's address.",
        )
        return
    yield Check(name="service", verdict=Verdict.OK, found=f"answers at {settings.url}")
    yield _skew(health)
    yield _clock(answer.headers.get("date", ""), now)
    yield from _readiness(settings.url)
    yield from _workers(settings)


def _away(url: str, error: Exception) -> Check:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    if not _is_here(host):
        return Check(
            name="service",
            verdict=Verdict.FAILED,
            found=f"{url} does not answer ({error})",
            remedy="See whether it runs there, and whether SM3_URL is right.",
        )
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as taken:
            return Check(
                name="port",
                verdict=Verdict.FAILED,
                found=f"{port} cannot be used ({taken.strerror}), and what holds it does not speak HTTP",
                remedy=f"Find it: `ss -ltnp 'sport = :{port}'`. Stop it, or choose another with --port or SM3_PORT.",
            )
    return Check(
        name="service",
        verdict=Verdict.WARNING,
        found=f"does not run; port {port} is free",
        remedy="Start it: sm3 up",
    )


def _skew(health: Health) -> Check:
    ours = version("sm3-scope")
    if health.version == ours:
        return Check(name="versions", verdict=Verdict.OK, found=f"{ours} here and there")
    return Check(
        name="versions",
        verdict=Verdict.WARNING,
        found=f"the service is {health.version or 'older than 0.2'}, this client {ours}",
        remedy="Install the same version in both places, and restart the service.",
    )


def _clock(date: str, now: datetime) -> Check:
    try:
        skew_s = (parsedate_to_datetime(date) - now).total_seconds()
    except (ValueError, TypeError):
        return Check(name="clocks", verdict=Verdict.OK, found="the service does not tell its time")
    if abs(skew_s) <= _MAX_SKEW_S:
        return Check(name="clocks", verdict=Verdict.OK, found=f"at most {_MAX_SKEW_S:.0f} s apart")
    return Check(
        name="clocks",
        verdict=Verdict.WARNING,
        found=f"the service's is {skew_s:+,.0f} s from the one here",
        remedy="Set both by NTP (`timedatectl set-ntp true`). Order does not hang on it, ages that are shown do.",
    )


def _readiness(url: str) -> Iterator[Check]:
    """Passes the service's own checks on."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/readyz", timeout=_TIMEOUT_S, trust_env=False)
        model = Ready if answer.is_success else NotReady
        checks = model.model_validate_json(answer.content).checks
    except (httpx.HTTPError, ValidationError) as error:
        yield Check(
            name="readiness",
            verdict=Verdict.FAILED,
            found=f"/readyz gives no answer that can be read ({type(error).__name__})",
            remedy="See the service's log.",
        )
        return
    for found in checks:
        yield found.model_copy(update={"name": f"service: {found.name}"})


def _workers(settings: ClientSettings) -> Iterator[Check]:
    try:
        with Client(settings.url, settings.bearer(), timeout_s=_TIMEOUT_S) as client:
            jobs = [job for job in client.jobs(limit=500).items if job.state.value in _HAVE_WORKER]
    except ServiceError as error:
        yield Check(
            name="token",
            verdict=Verdict.FAILED,
            found=f"the service refuses ours: {error.problem.title}",
            remedy="Set SM3_TOKEN, or SM3_DATA_DIR to the service's data folder.",
        )
        return
    except RemoteError as error:
        yield Check(name="token", verdict=Verdict.FAILED, found=str(error), remedy="See the service's log.")
        return
    yield Check(name="token", verdict=Verdict.OK, found="the service takes it")
    folder = settings.data_dir / "jobs"
    if not (jobs and _is_here(urlsplit(settings.url).hostname or "") and folder.is_dir()):
        found = "none should run" if not jobs else f"{len(jobs)} should run, on another machine"
        yield Check(name="workers", verdict=Verdict.OK, found=found)
        return
    dead = [job.id for job in jobs if not holds_lock(folder / job.id / f"attempt-{job.attempt}.lock")]
    if dead:
        yield Check(
            name="workers",
            verdict=Verdict.WARNING,
            found=f"{len(dead)} of {len(jobs)} have no process on this machine: {', '.join(dead[:3])}",
            remedy="The supervisor ends such jobs within a second. If this stays, see the service's log.",
        )
    else:
        yield Check(name="workers", verdict=Verdict.OK, found=f"all {len(jobs)} live")


def holds_lock(path: Path) -> bool:
    """Whether a live process holds the lock file at ``path``; a worker does as long as it lives."""
    try:
        with path.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

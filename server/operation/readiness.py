"""Can the service do its work? Store, disk and supervisor, each looked at for itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from sm3.progress import show_bytes
from sm3.remote.health_views import Check, Verdict

if TYPE_CHECKING:
    from server.service import Service

STALE_ROUND_S = 30.0
ALIVE_FILE = "supervisor.alive"
_STORE_LIMIT_S = 3.0
_FRESH_S = 1.0
_LOG = structlog.get_logger("server.readiness")


@dataclass
class Readiness:
    """The checks, made at most once a second however often they are asked for, since anyone may ask.

    Args:
        service: what is looked at.
        clock: monotonic seconds.
    """

    service: Service
    clock: Callable[[], float] = time.monotonic
    _made_s: float = float("-inf")
    _checks: tuple[Check, ...] = ()
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def checks(self) -> tuple[Check, ...]:
        """Returns every check, the newest result of each."""
        async with self._one_at_a_time:
            if self.clock() - self._made_s >= _FRESH_S:
                settings = self.service.settings
                folders = (settings.data_dir, settings.jobs_dir)
                self._checks = (
                    await self._store(),
                    *await asyncio.to_thread(
                        lambda: tuple(rooms(folders, min_free_bytes=settings.min_free_bytes))
                    ),
                    self._supervisor(),
                )
                self._made_s = self.clock()
            return self._checks

    async def _store(self) -> Check:
        probing = asyncio.to_thread(_probe, self.service)
        try:
            await asyncio.wait_for(probing, _STORE_LIMIT_S)
        except TimeoutError:
            return Check(
                name="store",
                verdict=Verdict.FAILED,
                found=f"it has not answered within {_STORE_LIMIT_S:.0f} s",
                remedy="See what holds it: a long transaction, or a database that is away.",
            )
        except (SQLAlchemyError, OSError) as error:
            _LOG.warning("store not ready", error=str(getattr(error, "orig", None) or error))
            return Check(
                name="store",
                verdict=Verdict.FAILED,
                found="it cannot be read and written",
                remedy="The service's log has the reason; `sm3 doctor` on its machine looks further.",
            )
        return Check(name="store", verdict=Verdict.OK, found="it can be read and written")

    def _supervisor(self) -> Check:
        if self.service.settings.slots:
            age_s = None if self.service.supervised_s is None else self.clock() - self.service.supervised_s
            return supervisor_check(age_s, elsewhere=False)
        try:
            modified_s = (self.service.settings.data_dir / ALIVE_FILE).stat().st_mtime
        except OSError:
            return supervisor_check(None, elsewhere=True)
        return supervisor_check(max(0.0, time.time() - modified_s), elsewhere=True)


def supervisor_check(age_s: float | None, *, elsewhere: bool) -> Check:
    """Returns what the age of the supervisor's last round in seconds says; None: there was none yet.

    A supervisor in another process only warns: the API serves without it, and is often started first.
    """
    lost = Verdict.WARNING if elsewhere else Verdict.FAILED
    remedy = (
        "Start `python -m server.execution` on this data folder; queued jobs wait until then."
        if elsewhere
        else "Queued jobs do not start. The log says what its rounds fail at; restart the service."
    )
    if age_s is None:
        return Check(name="supervisor", verdict=lost, found="it has done no round yet", remedy=remedy)
    if age_s > STALE_ROUND_S:
        found = f"its last round was {age_s:.0f} s ago; at most {STALE_ROUND_S:.0f} s are usual"
        return Check(name="supervisor", verdict=lost, found=found, remedy=remedy)
    return Check(name="supervisor", verdict=Verdict.OK, found="it does its rounds")


def rooms(folders: Iterable[Path], *, min_free_bytes: int) -> Iterable[Check]:
    """Yields a check for each disk that ``folders`` (the data folder, the spools') are on."""
    seen: set[int] = set()
    for name, folder in zip(("data folder", "spools"), folders, strict=True):
        try:
            device, free_bytes = os.stat(folder).st_dev, shutil.disk_usage(folder).free
        except OSError as error:
            yield Check(
                name=f"disk of the {name}",
                verdict=Verdict.FAILED,
                found=f"it cannot be looked at ({error.strerror})",
                remedy="Bring the folder back, or its rights; its path is SM3_DATA_DIR.",
            )
            continue
        if device in seen:
            continue
        seen.add(device)
        found = f"{show_bytes(free_bytes)} free; at least {show_bytes(min_free_bytes)} asked for"
        if free_bytes < min_free_bytes:
            remedy = "Free some space: frames are refused (507) once the disk is full. SM3_MIN_FREE_BYTES is the limit."
            yield Check(name=f"disk of the {name}", verdict=Verdict.FAILED, found=found, remedy=remedy)
        else:
            yield Check(name=f"disk of the {name}", verdict=Verdict.OK, found=found)


def _probe(service: Service) -> None:
    """Begins a change of the store and takes it back: needs the rights and the lock, and writes nothing."""
    with service.database.sessions() as session:
        session.execute(text("UPDATE alembic_version SET version_num = version_num"))
        session.rollback()

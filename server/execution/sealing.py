"""Seals old frames beside the supervisor, round after round."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from server.service import Service
from server.store import Rule, Sealer

_LOG = structlog.get_logger()


def sealer(service: Service) -> Sealer:
    """Returns the sealer that the settings describe."""
    settings = service.settings
    rule = Rule(settings.seal_after_s, settings.seal_ended_after_s, settings.seal_keep_frames)
    return Sealer(service.database, service.segments, rule)


async def seal_rounds(service: Service) -> None:
    """Seals every ``seal_every_s`` seconds until the service stops; trouble is logged and tried again."""
    sealing = sealer(service)
    while not service.stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(service.stopping.wait(), service.settings.seal_every_s)
            return
        try:
            if count := await asyncio.to_thread(sealing.run, service.stopping.is_set):
                _LOG.info("sealed", frames=count)
        except Exception:  # noqa: BLE001 - a bucket that does not answer must not end sealing
            _LOG.exception("sealing")


@asynccontextmanager
async def sealing_beside(service: Service) -> AsyncIterator[None]:
    """Seals while the block runs, if the settings say so; what is being written at its end is finished or undone."""
    if not service.settings.seals:
        yield
        return
    running = asyncio.create_task(seal_rounds(service))
    try:
        yield
    finally:
        service.stop()
        await running

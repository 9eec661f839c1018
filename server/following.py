"""Hears of what other processes do to the store: one look a second, for all viewers of this process together.

The hub tells viewers what this process stores. A supervisor that runs apart, or a second API process on the same
store, changes jobs that viewers here watch; the looks find that out, and cost nothing while nobody watches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from server.service import Service
from server.store.marks import read_marks

LOOK_EVERY_S = 1.0
_LOG = structlog.get_logger()


@asynccontextmanager
async def following(service: Service) -> AsyncIterator[None]:
    """Looks at the store from time to time as long as the block runs."""
    looking = asyncio.create_task(_look_on(service))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _look_on(service: Service) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if watched := service.hub.watched:
            try:
                await look(service, watched)
            except SQLAlchemyError as error:
                _LOG.warning("the store does not tell whether watched jobs changed", error=str(error))


async def look(service: Service, job_ids: tuple[str, ...]) -> None:
    """Compares the store with what was published of ``job_ids``, and wakes their viewers where it shows more."""
    marks = await run_in_threadpool(read_marks, service.database, job_ids)
    for job_id in job_ids:
        service.hub.compare(job_id, marks.get(job_id))

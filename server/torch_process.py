"""One process with torch beside the service, for what is small enough to be answered at once.

The service itself never loads torch. `anyio.to_process` keeps the process and speaks with it by pipes: it ends when
the service stops, when its pipe closes because the service was killed, and by itself after a while without a question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
from anyio import BrokenWorkerProcess, to_process

from server.problems import Refusal

PATIENCE_S = 30.0
"""Seconds that whoever asks waits, for others and a first loading of torch too."""
_MAX_WAITING = 8
LIMIT_S = 120.0
"""Seconds after which a question is given up and its process ended."""


class TorchProcess:
    """Runs functions of ``server.worker`` in a process of their own, one at a time.

    A question that was begun goes on until ``limit_s`` though its asker has lost patience: on a busy machine torch may
    take longer to load than anyone waits, and would otherwise never be there for the next one. One that still waited
    is dropped, and of those that wait there are at most eight.

    Args:
        patience_s: how long an asker waits.
        limit_s: how long a question may take.
    """

    def __init__(self, patience_s: float = PATIENCE_S, limit_s: float = LIMIT_S) -> None:
        self._patience_s = patience_s
        self._limit_s = limit_s
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._waiting = 0

    @property
    def is_busy(self) -> bool:
        """Whether a question is being answered, or its process started."""
        return self._one_at_a_time.borrowed_tokens > 0

    async def run(self, work: Callable[..., bytes], *args: object) -> bytes:
        """Returns ``work(*args)``, computed there.

        Raises:
            Refusal: 503 where it takes too long, or its process died twice.
        """
        if self._waiting >= _MAX_WAITING:
            raise _unavailable(f"{self._waiting} questions wait already.")
        started = asyncio.Event()
        asked = asyncio.ensure_future(self._in_turn(started, work, *args))
        done, _ = await asyncio.wait({asked}, timeout=self._patience_s)
        if not done:
            asked.add_done_callback(_forget)
            if not started.is_set():
                asked.cancel()
            raise _unavailable(f"No answer within {self._patience_s:.0f} s; torch may still be loading.")
        try:
            return asked.result()
        except TimeoutError as error:
            raise _unavailable(f"It took more than {self._limit_s:.0f} s.") from error
        except BrokenWorkerProcess as error:
            raise _unavailable("The process that computes it ended.") from error

    async def _in_turn(self, started: asyncio.Event, work: Callable[..., bytes], *args: object) -> bytes:
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                started.set()
                return await self._within_limit(work, *args)
        finally:
            self._waiting -= 1

    async def _within_limit(self, work: Callable[..., bytes], *args: object) -> bytes:
        with anyio.fail_after(self._limit_s):
            try:
                return await self._once(work, *args)
            except BrokenWorkerProcess:  # being idle it ended, as it was asked to; the next one is new
                return await self._once(work, *args)

    async def _once(self, work: Callable[..., bytes], *args: object) -> bytes:
        return await to_process.run_sync(work, *args, cancellable=True)


def _forget(asked: asyncio.Future[bytes]) -> None:
    """Takes the answer that nobody waits for any more."""
    if not asked.cancelled():
        asked.exception()


def _unavailable(what: str) -> Refusal:
    return Refusal(503, "computation-unavailable", "Not computed", f"{what} Try again.", {"Retry-After": "2"})

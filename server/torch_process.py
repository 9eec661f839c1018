"""One process with torch beside the service, for what is small enough to be answered at once.

The service itself never loads torch. `anyio.to_process` keeps the process and speaks with it by pipes: it ends when
the service stops, when its pipe closes because the service was killed, and by itself after a while without a question.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

import anyio
from anyio import BrokenWorkerProcess, to_process

from server.problems import Refusal

LIMIT_S = 30.0
"""Seconds for an answer, waiting for others and a first loading of torch included."""

P = ParamSpec("P")


class TorchProcess:
    """Runs functions of ``server.worker`` in a process of their own, one at a time.

    Args:
        limit_s: seconds after which a question is given up and its process killed.
    """

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def run(self, work: Callable[P, bytes], *args: P.args, **kwargs: P.kwargs) -> bytes:
        """Returns ``work(*args)``, computed there.

        Raises:
            Refusal: 503 where it took too long, or its process died twice.
        """
        assert not kwargs, "arguments go by place"
        try:
            with anyio.fail_after(self._limit_s):
                try:
                    return await self._once(work, *args)
                except BrokenWorkerProcess:  # it ended, being idle, as it was asked; the next one is new
                    return await self._once(work, *args)
        except TimeoutError as error:
            raise _unavailable(
                f"No answer within {self._limit_s:.0f} s; others may be waiting too."
            ) from error
        except BrokenWorkerProcess as error:
            raise _unavailable("The process that computes it ended.") from error

    async def _once(self, work: Callable[..., bytes], *args: object) -> bytes:
        return await to_process.run_sync(work, *args, cancellable=True, limiter=self._one_at_a_time)


def _unavailable(what: str) -> Refusal:
    return Refusal(503, "computation-unavailable", "Not computed", f"{what} Try again.", {"Retry-After": "2"})

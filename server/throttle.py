"""A limit on failed authentication, by client address and in bounded memory."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from cachetools import TTLCache

WINDOW_S = 60.0
MAX_ADDRESSES = 10_000
_FAMILIAR_S = 3_600.0


@dataclass
class _Failures:
    count: int
    until: float


@dataclass
class Throttle:
    """Counts failures of each address within a minute from the first.

    An IPv6 host owns a whole /64, which counts as one address. Of more than `MAX_ADDRESSES` addresses the one
    that was quiet for longest is forgotten.

    Args:
        limit: failures a minute and address; 0: no limit.
        now: monotonic seconds.
    """

    limit: int
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._failures: TTLCache[str, _Failures] = TTLCache(MAX_ADDRESSES, WINDOW_S, timer=self.now)
        self._familiar: TTLCache[str, bool] = TTLCache(MAX_ADDRESSES, _FAMILIAR_S, timer=self.now)
        self._lock = Lock()

    def failed(self, address: str) -> None:
        """Counts one failure."""
        with self._lock:
            found = self._failures.get(network(address))
            if found is None:
                self._failures[network(address)] = _Failures(1, self.now() + WINDOW_S)
            else:
                found.count += 1

    def succeeded(self, address: str) -> None:
        """Remembers for an hour that someone at ``address`` has given a token that is good."""
        with self._lock:
            self._familiar[network(address)] = True

    def is_familiar(self, address: str) -> bool:
        """Whether someone at ``address`` has given a good token within the last hour."""
        with self._lock:
            return network(address) in self._familiar

    def wait_s(self, address: str) -> int:
        """Returns how many seconds ``address`` is to wait, 0 while it is within the limit."""
        with self._lock:
            found = self._failures.get(network(address))
        if not self.limit or found is None or found.count < self.limit:
            return 0
        return max(1, math.ceil(found.until - self.now()))


def network(address: str) -> str:
    """Returns what counts as one address: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))

"""Who has signed in: tokens by the random id that a browser's cookie holds, in this process's memory alone.

The cookie outlives a reload and a closed tab, so a link works for as long as the entry is good. The token itself never
goes back to the browser.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

COOKIE = "sm3_scope_session"
LIFE_S = 12 * 3600
MAX_ENTRIES = 10_000


class SignedIn:
    """The browsers that have signed in; of more than `MAX_ENTRIES` the earliest have to do it again.

    Args:
        now: seconds on a clock that is never set.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._entries: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._lock = Lock()

    def add(self, token: str) -> str:
        """Notes that a browser signed in with ``token``; returns the id for its cookie, good for `LIFE_S` seconds."""
        session_id = secrets.token_urlsafe(32)
        with self._lock:
            self._entries[session_id] = (token, self._now() + LIFE_S)
            while len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
        return session_id

    def token(self, session_id: str) -> str:
        """Returns the token behind an id, '' where there is none (any more)."""
        with self._lock:
            token, until = self._entries.get(session_id, ("", 0.0))
            if token and self._now() >= until:
                del self._entries[session_id]
                return ""
        return token

    def drop(self, session_id: str) -> None:
        """Forgets an id; an unknown one is no error."""
        with self._lock:
            self._entries.pop(session_id, None)


SIGNED_IN = SignedIn()
"""Those of this process: its routes add to it, its sessions read it."""

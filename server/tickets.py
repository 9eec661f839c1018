"""Passes for one WebSocket each, so that no token reaches a URL."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from server.access import Principal
from server.problems import Refusal

TICKET_S = 60.0
MAX_TICKETS = 10_000


@dataclass
class Tickets:
    """Tickets handed out and not yet used; kept in memory, since they live a minute.

    A ticket is bound to a job and to who asked for it: whoever redeems it acts as that principal, who has to be
    checked again, since its token may have been revoked in between.
    """

    now: Callable[[], float] = time.monotonic
    _open: dict[str, tuple[str, Principal, float]] = field(default_factory=dict, repr=False)

    def issue(self, job_id: str, principal: Principal) -> str:
        """Returns a new ticket for ``job_id``; forgets expired ones."""
        now = self.now()
        self._open = {ticket: entry for ticket, entry in self._open.items() if entry[2] > now}
        if len(self._open) >= MAX_TICKETS:
            raise Refusal(
                429,
                "too-many-tickets",
                "Too many tickets",
                "Wait a minute and ask again.",
                {"Retry-After": "60"},
            )
        ticket = secrets.token_urlsafe(24)
        self._open[ticket] = (job_id, principal, now + TICKET_S)
        return ticket

    def redeem(self, ticket: str, job_id: str) -> Principal | None:
        """Uses up ``ticket``; returns who asked for it, None unless it was valid for ``job_id``."""
        entry = self._open.pop(ticket, None)
        if entry is None:
            return None
        owner, principal, expires = entry
        return principal if owner == job_id and expires > self.now() else None

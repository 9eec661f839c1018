"""Who may do what.

* **admin**: the bearer token of the data folder: everything.
* **ingest**: a token made for one attempt of one job and given to its worker alone: read that job, report on it
  and store its frames. Only its SHA-256 is stored.
* **ticket**: opens one WebSocket of one job, once, within a minute, so that no token reaches a URL.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from server.problems import Refusal

TICKET_S = 60.0
MAX_TICKETS = 10_000


def digest(token: str) -> str:
    """Returns the SHA-256 of ``token`` in hex: what is stored in its place."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_ingest_token() -> str:
    """Returns a fresh token for one worker."""
    return "sm3i_" + secrets.token_urlsafe(32)


def bearer(authorization: str | None) -> str:
    """Returns the token in an ``Authorization`` header, '' where there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


def unauthorized() -> Refusal:
    """Returns the 401 that tells where the token is."""
    return Refusal(
        401,
        "unauthorized",
        "A valid token is needed",
        "Send 'Authorization: Bearer TOKEN'. `sm3 token` prints it on the service's machine.",
        {"WWW-Authenticate": "Bearer"},
    )


def forbidden() -> Refusal:
    """Returns the 403 for a token that is valid for something else."""
    return Refusal(
        403, "forbidden", "Not allowed", "This token may report on its own job's current attempt only."
    )


@dataclass
class Tickets:
    """Tickets handed out and not yet used; kept in memory, since they live a minute."""

    now: Callable[[], float] = time.monotonic
    _open: dict[str, tuple[str, float]] = field(default_factory=dict)

    def issue(self, job_id: str) -> str:
        """Returns a new ticket for ``job_id``; forgets expired ones."""
        now = self.now()
        self._open = {t: entry for t, entry in self._open.items() if entry[1] > now}
        if len(self._open) >= MAX_TICKETS:
            raise Refusal(429, "too-many-tickets", "Too many tickets", "Wait a minute and ask again.")
        ticket = secrets.token_urlsafe(24)
        self._open[ticket] = (job_id, now + TICKET_S)
        return ticket

    def redeem(self, ticket: str, job_id: str) -> bool:
        """Uses up ``ticket``; whether it was valid for ``job_id``."""
        owner, expires = self._open.pop(ticket, ("", 0.0))
        return owner == job_id and expires > self.now()

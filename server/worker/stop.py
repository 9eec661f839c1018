"""How a worker is asked to stop before its last step."""

from __future__ import annotations

from enum import StrEnum


class Wish(StrEnum):
    """What is wanted of a worker that is asked to stop."""

    PAUSE = "pause"
    CANCEL = "cancel"


class StopRequest:
    """Whether, and how, somebody asked the run to stop. Set from signal handlers, read by the loop.

    To pause (SIGTERM, also what a machine that shuts down sends) is to write a checkpoint and leave no other trace,
    so that the next attempt goes on exactly. To cancel (SIGINT) is to record where the run stands and end.
    """

    def __init__(self) -> None:
        self.wish: Wish | None = None

    def ask(self, wish: Wish) -> None:
        """Asks; cancelling is not taken back by pausing."""
        if self.wish is not Wish.CANCEL:
            self.wish = wish

    @property
    def is_cancelled(self) -> bool:
        """Whether the run is to end for good."""
        return self.wish is Wish.CANCEL

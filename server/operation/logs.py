"""One line an event: JSON for machines, columns for people; uvicorn's own lines go the same way.

Secrets never get in: every text of every event passes :class:`Redactor`, the last step before it is written.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

import structlog
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from structlog.typing import EventDict, Processor, WrappedLogger

from server.settings import LogFormat, Settings

_PATTERNS = (
    re.compile(r"(?P<kept>)sm3[a-z]?_[A-Za-z0-9_-]{16,}"),
    re.compile(r"(?P<kept>(?i:bearer\s+))[^\s\"',]+"),
    re.compile(r"(?P<kept>\bticket=)[^\s&\"']+"),
    re.compile(r"(?P<kept>://[^\s:/@]*:)[^\s@]+(?=@)"),
)
_HIDDEN = "[hidden]"


class Redactor:
    """A structlog processor that hides tokens, tickets and passwords, wherever they stand in an event.

    Args:
        secrets: texts that are hidden whatever they look like, such as a token that a user chose.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """Returns the event without secrets."""
        return {key: self._clean(value) for key, value in event.items()}

    def _clean(self, value: object) -> object:
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, dict):
            return {key: self._clean(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(part) for part in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.clean(str(value))

    def clean(self, text: str) -> str:
        """Returns ``text`` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<kept>{_HIDDEN}", text)
        return text


def configure(settings: Settings, *, stream: TextIO = sys.stderr) -> None:
    """Sends every event of this process, and the standard library's, to ``stream`` as ``settings`` say."""
    as_json = settings.log_format is LogFormat.JSON or (
        settings.log_format is LogFormat.AUTO and not stream.isatty()
    )
    redactor = Redactor(_secrets(settings))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redactor,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    rendering: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    rendering += [_ordered, structlog.processors.JSONRenderer()] if as_json else [_console(stream)]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=rendering, foreign_pre_chain=[*_foreign(shared)])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        # Whatever configured them before in this process may have turned them down.
        logger.setLevel(logging.NOTSET)
        logger.disabled = False
    # Each request has a line of ours, with its id, job and duration; uvicorn's own would say it twice.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    for name in ("alembic", "filelock", "httpx", "httpcore", "websockets", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _foreign(shared: list[Processor]) -> Iterable[Processor]:
    """The same for lines that come from the standard library, whose arguments are merged already."""
    return (step for step in shared if not isinstance(step, structlog.stdlib.PositionalArgumentsFormatter))


def _console(stream: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=stream.isatty())


_FIRST = ("timestamp", "level", "event", "job", "attempt", "request_id")


def _ordered(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Puts what every line has first, so that people can read the JSON too."""
    event["time"] = event.pop("timestamp", None)
    first = {key: event.pop(key) for key in ("time", *_FIRST[1:]) if key in event}
    return {**first, **event}


def _secrets(settings: Settings) -> list[str]:
    found = [settings.token]
    if settings.database_url:
        with suppress(ArgumentError):  # no URL: opening the store says so
            found.append(str(make_url(settings.database_url).password or ""))
    return found

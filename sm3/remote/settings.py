"""Where the service is and how to prove who we are: the only place of the library that reads the environment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sm3.remote import token_file

PREFIX = "SM3_"
SERVICE_SETTINGS = frozenset({
    "allowed_hosts",
    "auth",
    "auth_failures_per_minute",
    "cache_dir",
    "cancel_grace_s",
    "cors_origins",
    "data_dir",
    "database_url",
    "heartbeat_s",
    "host",
    "log_format",
    "log_level",
    "max_queued",
    "max_viewers",
    "max_viewers_per_job",
    "metrics_open",
    "min_free_bytes",
    "pause_grace_s",
    "port",
    "retention_days",
    "seal_after_s",
    "seal_ended_after_s",
    "seal_every_s",
    "seal_keep_frames",
    "segments_url",
    "slots",
    "stop_workers_on_exit",
    "token",
    "trusted_proxies",
    "viewer_stall_s",
    "worker_threads",
    "worker_url",
})
"""What the service alone can be told (a test keeps it equal): a client must not take these for misspelt."""


def default_data_dir() -> Path:
    """Returns the folder of the service's store, token and logs for this user."""
    return user_data_path("sm3-scope")


class ClientSettings(BaseSettings):
    """Settings of everything that speaks with the service, from ``SM3_*`` environment variables."""

    model_config = SettingsConfigDict(env_prefix="SM3_", extra="ignore")

    url: str = Field("http://127.0.0.1:8000", description="the service's address")
    token: str = Field(
        "", repr=False, description="bearer token; empty: read from the token file of the data folder"
    )
    data_dir: Path = Field(default_factory=default_data_dir, description="the service's data folder")
    viewer_token: str = Field(
        "", repr=False, description="token that viewers who signed in by OIDC act with; empty: none may"
    )
    viewers: tuple[str, ...] = Field(
        (), description="e-mail addresses or @domains that may sign in by OIDC; empty: all the provider knows"
    )
    public_url: str = Field("", description="the service's address as a browser sees it; empty: page's host")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    def bearer(self) -> str:
        """Returns the token given, or the one in the data folder, or '' where neither is there."""
        return self.token or token_file.read(self.data_dir)


@dataclass(frozen=True)
class UnknownVariable:
    """An ``SM3_*`` variable that sets nothing, and the name that it resembles most, '' if none."""

    name: str
    nearest: str

    def __str__(self) -> str:
        """Says so in a sentence."""
        meant = f" Is {self.nearest} meant?" if self.nearest else ""
        return f"{self.name} sets nothing.{meant} docs/settings.md lists what can be set."


def unknown_variables(
    known: Iterable[str] = SERVICE_SETTINGS, environment: Mapping[str, str] | None = None
) -> tuple[UnknownVariable, ...]:
    """Returns the ``SM3_*`` variables of ``environment`` (default: this process') that set nothing.

    Args:
        known: names of the service's settings; the client's are known anyway.
        environment: variable to value.
    """
    names = {PREFIX + name.upper() for name in (*known, *ClientSettings.model_fields)}
    given = os.environ if environment is None else environment
    # pydantic-settings takes either case, so a name in small letters is no fault.
    unknown = sorted(name for name in given if name.upper().startswith(PREFIX) and name.upper() not in names)
    return tuple(
        UnknownVariable(name, next(iter(difflib.get_close_matches(name.upper(), names, n=1, cutoff=0.7)), ""))
        for name in unknown
    )

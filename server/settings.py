"""The service's settings: the only place of the server that reads the environment."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Self

from platformdirs import user_cache_path
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sm3.remote import token_file
from sm3.remote.settings import default_data_dir

MIN_TOKEN_LENGTH = 32
MIN_TOKEN_VARIETY = 10


class Settings(BaseSettings):
    """Everything that can be set, from ``SM3_*`` environment variables (``docs/settings.md`` has the table)."""

    model_config = SettingsConfigDict(env_prefix="SM3_", extra="ignore")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on")
    data_dir: Path = Field(default_factory=default_data_dir, description="store, token, logs")
    cache_dir: Path = Field(
        default_factory=lambda: user_cache_path("sm3-scope"),
        description="tokenizers and encoded texts; can be deleted at any time",
    )
    database_url: str = Field("", repr=False, description="SQLAlchemy URL; empty: SQLite in the data folder")
    token: str = Field(
        "", repr=False, description="admin token; empty: made at first start and kept in the data folder"
    )
    auth: bool = Field(True, description="false: no token needed; only allowed on loopback")
    auth_failures_per_minute: int = Field(
        30,
        ge=0,
        le=1_000_000,
        description="wrong tokens of one address before it is told to wait; 0: no limit",
    )
    slots: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 1) - 1),
        ge=0,
        le=1024,
        description="jobs that train at the same time; 0: `python -m server.execution` runs them elsewhere",
    )
    worker_threads: int = Field(1, ge=1, le=1024, description="CPU threads of one worker")
    worker_url: str = Field("", description="the service's address as workers see it; empty: from host, port")
    cancel_grace_s: float = Field(1.2, ge=0, le=60, description="from a polite stop to SIGKILL")
    heartbeat_s: float = Field(5.0, gt=0, le=30, description="from sign of life to sign of life on streams")
    stop_workers_on_exit: bool = Field(False, description="end workers with the service (`sm3 up` sets it)")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="host names that requests may name; empty: loopback's"
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="origins of pages that may call the API; empty: pages of the service's own host"
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="addresses of reverse proxies whose X-Forwarded-For and -Proto are believed"
    )

    @field_validator("data_dir", "cache_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()  # workers run in folders of their own

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[^/?#@*\s]+", origin):
                raise ValueError(
                    "origins such as https://scope.example.org, without a path; '*' is not allowed"
                )
        return origins

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            ipaddress.ip_network(address)
        return addresses

    @model_validator(mode="after")
    def _refuse_a_poor_token(self) -> Self:
        """Says nothing of the token itself, for it ends up in a log."""
        if self.token and not re.fullmatch(r"[\x21-\x7e]+", self.token):
            raise ValueError("SM3_TOKEN holds something else than printable ASCII without spaces.")
        is_poor = len(self.token) < MIN_TOKEN_LENGTH or len(set(self.token)) < MIN_TOKEN_VARIETY
        if self.token and is_poor and not self.is_loopback:
            raise ValueError(
                f"SM3_TOKEN has {len(self.token)} characters, {len(set(self.token))} of them different; with "
                f"SM3_HOST={self.host} it needs at least {MIN_TOKEN_LENGTH}, {MIN_TOKEN_VARIETY} of them different. "
                "`openssl rand -base64 32` makes one; without SM3_TOKEN the service makes its own."
            )
        return self

    @model_validator(mode="after")
    def _refuse_an_open_door(self) -> Self:
        if not self.auth and not self.is_loopback:
            raise ValueError(
                f"SM3_AUTH=false and SM3_HOST={self.host}: without a token the service listens on loopback "
                "only. Set SM3_AUTH=true (the default) or SM3_HOST=127.0.0.1."
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether `host` can be reached from this machine alone."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.data_dir / 'store.sqlite3'}"

    @property
    def jobs_dir(self) -> Path:
        """Folder with one folder a job: its spool, lock and log."""
        return self.data_dir / "jobs"

    def admin_token(self) -> str:
        """Returns the admin token; makes it (mode 0600) where there is none yet."""
        return self.token or token_file.ensure(self.data_dir)

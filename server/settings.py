"""The service's settings: the only place of the server that reads the environment."""

from __future__ import annotations

import ipaddress
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Self

from platformdirs import user_cache_path
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.store.segments import check_place
from sm3.remote import token_file
from sm3.remote.settings import default_data_dir

MIN_TOKEN_LENGTH = 32
MIN_TOKEN_VARIETY = 10


class LogFormat(StrEnum):
    """How the log is written."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """From which level on events are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


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
    segments_url: str = Field(
        "", description="folder or URL (s3://bucket/prefix) for sealed frames; empty: the data folder"
    )
    seal_every_s: float = Field(
        60.0, ge=0, le=86_400, description="how often old frames are sealed; 0: never"
    )
    seal_after_s: float = Field(86_400.0, ge=0, description="age from which a frame is old")
    seal_ended_after_s: float = Field(
        3_600.0, ge=0, description="the frames of jobs that ended so long ago are old"
    )
    seal_keep_frames: int = Field(256, ge=0, description="newest frames of a job that are never sealed")
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
    pause_grace_s: float = Field(
        60.0, ge=0, le=3600, description="from asking a worker to make way to SIGKILL; it loses nothing by it"
    )
    max_queued: int = Field(
        1000, ge=1, le=1_000_000, description="jobs that may wait; more are refused with 429"
    )
    retention_days: float = Field(
        0,
        ge=0,
        le=36_500,
        description="ended jobs without the label 'keep' are deleted after as long; 0: never",
    )
    heartbeat_s: float = Field(5.0, gt=0, le=30, description="from sign of life to sign of life on streams")
    max_viewers: int = Field(2000, ge=1, le=100_000, description="open streams, of all jobs together")
    max_viewers_per_job: int = Field(2000, ge=1, le=100_000, description="open streams of one job")
    viewer_stall_s: float = Field(
        30.0, gt=0, le=3600, description="a connection whose other side reads nothing for so long is cut"
    )
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

    log_format: LogFormat = Field(
        LogFormat.AUTO, description="json, console, or auto: json unless on a terminal"
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="debug, info, warning or error")
    metrics_open: bool = Field(
        False, description="true: GET /metrics needs no token; only allowed on loopback"
    )
    min_free_bytes: int = Field(64 * 2**20, ge=0, description="less room than this on a disk: not ready")

    @field_validator("data_dir", "cache_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()  # workers run in folders of their own

    @field_validator("segments_url")
    @classmethod
    def _place(cls, place: str) -> str:
        if place:
            check_place(place)
        return place if not place or "://" in place else str(Path(place).expanduser().absolute())

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

    @model_validator(mode="after")
    def _refuse_open_metrics(self) -> Self:
        if self.metrics_open and not self.is_loopback:
            raise ValueError(
                f"SM3_METRICS_OPEN=true and SM3_HOST={self.host}: without a token /metrics is answered on loopback "
                "only. Set SM3_METRICS_OPEN=false (the default) and give your scraper a token."
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
    def seals(self) -> bool:
        """Whether this service seals: where those who share a PostgreSQL find segments has to be told."""
        shared = not self.store_url.startswith("sqlite")
        return self.seal_every_s > 0 and bool(self.segments_url or not shared)

    @property
    def jobs_dir(self) -> Path:
        """Folder with one folder a job: its spool, lock and log."""
        return self.data_dir / "jobs"

    def admin_token(self) -> str:
        """Returns the admin token; makes it (mode 0600) where there is none yet."""
        return self.token or token_file.ensure(self.data_dir)

"""A PostgreSQL of our own: made in a temporary folder, on loopback, run by an unprivileged user."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from tests.conftest import free_port

MISSING = "no 'postgres' binary here: install Debian's postgresql package (`make test` does where it may)"
_USER = "sm3"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # the machine is not going to lose power, and tests should be fast
    "shared_buffers": "32MB",
    "max_connections": "120",
    "deadlock_timeout": "200ms",
}


def find_binaries() -> Path | None:
    """Returns the folder of ``postgres`` and ``initdb``, the newest version first; None if there is none."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    found = [*homes, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((folder for folder in found if (folder / "postgres").exists()), None)


@dataclass
class Postgres:
    """One cluster, which may be stopped, killed and started again.

    Args:
        folder: its data, owned by the user that runs it.
        binaries: folder of ``postgres`` and ``initdb``.
        user: the system user that runs it; None: the current one.
    """

    folder: Path
    binaries: Path
    user: str | None
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def __post_init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._made = 0

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def create(self) -> None:
        """Makes the cluster's files (``initdb`` refuses to run as root)."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        if self.user:
            shutil.chown(secret, self.user)
        command = [self.binaries / "initdb", "-D", self.data, "-U", _USER, "-A", "scram-sha-256"]
        command += ["--pwfile", secret, "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run(command, check=True, capture_output=True, user=self.user, cwd=self.folder)

    def start(self) -> Postgres:
        """Starts the server and waits until it answers."""
        command = [
            str(self.binaries / "postgres"),
            "-D",
            str(self.data),
            "-p",
            str(self.port),
            "-k",
            str(self.folder),
        ]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, user=self.user, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return self

    def stop(self, *, violently: bool = False) -> None:
        """Stops the server; ``violently`` as a crash would (no checkpoint, connections cut)."""
        if self.process is None or self.process.poll() is not None:
            return
        # SIGINT: cut the connections, write a checkpoint; SIGQUIT: at once, recovery at the next start.
        self.process.send_signal(3 if violently else 2)
        self.process.wait(30)

    def dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={_USER} password={self.password} dbname={database}"

    def url(self, database: str) -> str:
        """Returns the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{_USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template0") -> str:
        """Makes a database that is a copy of ``template``; returns its name."""
        self._made += 1
        name = f"store{self._made}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(statement)
        return name


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A running cluster, gone with all its files at the end. Raises `FileNotFoundError` without binaries."""
    binaries = find_binaries()
    if binaries is None:
        raise FileNotFoundError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="sm3-pg-"))
    user = None
    if os.geteuid() == 0:
        known = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in known else "nobody"
        shutil.chown(folder, user)
    server = Postgres(folder, binaries, user)
    try:
        server.create()
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)

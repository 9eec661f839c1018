"""`sm3 up`: service and dashboard as two child processes, started and ended together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from sm3.remote.client import Client
from sm3.remote.settings import ClientSettings

HOST = "127.0.0.1"
_READY_S = 90.0
_STOP_S = 2.6
_ROOM_BYTES = 2**20


class CannotStart(Exception):  # noqa: N818 - reads as what it is
    """Something that a person has to change first; the message is one sentence."""


@dataclass
class Child:
    """One child process and where its output goes."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def last_words(self) -> str:
        """Returns the last line of its output."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"


@dataclass
class Instance:
    """A service, and a dashboard unless it is left out, on this machine.

    Args:
        settings: where the data folder is.
        port: the service's port.
        dashboard_port: the dashboard's port; None for none.
    """

    settings: ClientSettings
    port: int = 8000
    dashboard_port: int | None = 8501
    children: list[Child] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The service's address."""
        return f"http://{HOST}:{self.port}"

    @property
    def dashboard_url(self) -> str | None:
        """The dashboard's address."""
        return None if self.dashboard_port is None else f"http://{HOST}:{self.dashboard_port}"

    def client(self) -> Client:
        """Returns a client for the service; call it once it is ready."""
        return Client(self.url, self.settings.bearer())

    def start(self) -> None:
        """Starts both and waits until the service answers.

        Raises:
            CannotStart: a port is taken, the data folder cannot be written, or a process ended at once.
        """
        for port, option in ((self.port, "--port"), (self.dashboard_port, "--dashboard-port")):
            if port is not None:
                _require_free(HOST, port, option)
        try:
            self.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.settings.data_dir / "logs").mkdir(exist_ok=True)
            _require_room(self.settings.data_dir)
            service = self._spawn("service", ["server"], {"SM3_HOST": HOST, "SM3_PORT": str(self.port)})
        except OSError as error:
            raise CannotStart(
                f"{self.settings.data_dir} cannot be written ({error.strerror}). "
                "Make room or rights, or set SM3_DATA_DIR to another folder."
            ) from error
        self._wait_ready(service)
        if self.dashboard_port is not None:
            arguments = ["dashboard", "--host", HOST, "--port", str(self.dashboard_port)]
            dashboard = self._spawn("dashboard", arguments, {"SM3_URL": self.url})
            self._wait_listening(dashboard, self.dashboard_port)

    def wait(self) -> None:
        """Waits until a child ends. Raises `CannotStart` when one does."""
        while True:
            for child in self.children:
                if child.process.poll() is not None:
                    raise CannotStart(f"the {child.name} has ended: {child.last_words()} (log: {child.log})")
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends every child, politely and after 2.6 s by force."""
        for child in self.children:
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + _STOP_S
        for child in self.children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def _spawn(self, name: str, module: Sequence[str], environment: dict[str, str]) -> Child:
        log = self.settings.data_dir / "logs" / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *module],
                env=os.environ
                | {"SM3_DATA_DIR": str(self.settings.data_dir), "SM3_STOP_WORKERS_ON_EXIT": "true"}
                | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end them in order
            )
        child = Child(name, log, process)
        self.children.append(child)
        return child

    def _wait_ready(self, service: Child) -> None:
        with Client(self.url, timeout_s=2.0) as client:
            # Not is_ready: a disk that is nearly full is no reason not to look at what is stored.
            self._wait(service, client.is_alive)

    def _wait_listening(self, child: Child, port: int) -> None:
        def listening() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((HOST, port)) == 0

        self._wait(child, listening)

    def _wait(self, child: Child, is_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_S
        while not is_up():
            if child.process.poll() is not None:
                raise CannotStart(child.last_words().removeprefix("sm3: "))
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"the {child.name} did not answer within {_READY_S:.0f} s (log: {child.log})"
                )
            time.sleep(0.1)


@contextmanager
def running(instance: Instance) -> Iterator[Instance]:
    """Starts ``instance``, and ends it however the block is left: also by SIGINT, SIGTERM or SIGHUP."""

    def leave(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, leave)
    try:
        instance.start()
        yield instance
    finally:
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        instance.stop()


def _require_room(folder: Path) -> None:
    """Raises `OSError` where a megabyte cannot be written: the processes' own words could not be either."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(_ROOM_BYTES))
        probe.flush()
        os.fsync(probe.fileno())


def _require_free(host: str, port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"Port {port} on {host} cannot be used ({error.strerror}). "
                f"Stop what uses it, or choose another with {option}."
            ) from error

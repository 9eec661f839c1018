"""The source of Python's standard library, as it lies beside the running interpreter: always there."""

import os
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.worker.data.base import Corpus, Document, Report, SourceError
from sm3.remote.recipe_specs import CorpusName

SKIPPED_FOLDERS = frozenset({"__pycache__", "dist-packages", "idle_test", "site-packages", "test", "tests"})
"""Tests, and what others installed."""

GENERATED_PREFIX = "_sysconfigdata"
"""Build settings of one machine, not source."""


@dataclass(frozen=True)
class PythonFiles:
    """Every Python file under a folder, tests left out, ordered by relative path.

    Attributes:
        root: the folder; None means the running interpreter's standard library.
    """

    root: Path | None = None

    @property
    def described(self) -> str:
        """Name the source in a few words."""
        return f"Python files in {self.root}" if self.root else "the standard library of the running Python"

    def read(self, *, report: Report) -> Sequence[Document]:
        """Read them all, each under its relative path; 12 MB take a tenth of a second."""
        root = self.root or Path(sysconfig.get_path("stdlib"))
        try:
            documents = [
                Document(path.relative_to(root).as_posix(), path.read_text("utf-8", "replace"))
                for path in sorted(_python_files(root))
            ]
        except OSError as error:
            raise SourceError(f"{error.strerror}: {error.filename}") from error
        if not documents:
            raise SourceError(f"no Python file in {root}; this Python came without its source")
        return documents


def _python_files(root: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in SKIPPED_FOLDERS]
        for name in files:
            if name.endswith(".py") and not name.startswith(GENERATED_PREFIX):
                yield Path(folder, name)


STDLIB = Corpus(
    name=CorpusName.STDLIB,
    title="Python standard library source",
    licence="PSF-2.0",
    provenance="The .py files of the Python that runs the worker, tests left out; they differ by version.",
    sources=(PythonFiles(),),
)

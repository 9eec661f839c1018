"""A corpus kept on disk after its first read, as JSON lines: what it is, then one document a line."""

import json
import os
from pathlib import Path

from server.worker.data.atomic import put_in_place
from server.worker.data.base import Corpus, Document, LoadedCorpus, SourceError, digest


def write_kept(loaded: LoadedCorpus, path: Path) -> None:
    """Keep a corpus; whoever reads meanwhile sees all of it or none. The caller holds the path's lock."""
    made = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with made.open("w", encoding="ascii") as file:
        file.write(json.dumps({"source": loaded.source, "sha256": loaded.sha256}) + "\n")
        for document in loaded.documents:
            file.write(json.dumps({"key": document.key, "text": document.text}) + "\n")
    put_in_place(made, path)


def read_kept(corpus: Corpus, path: Path) -> LoadedCorpus:
    """Return a corpus kept earlier.

    Raises:
        SourceError: it was never kept, or the file is not what was written.
    """
    try:
        head, *lines = path.read_text("ascii").splitlines()
        about: dict[str, str] = json.loads(head)
        documents = [Document(**json.loads(line)) for line in lines]
        loaded = LoadedCorpus(corpus, documents, about["source"], about["sha256"])
    except FileNotFoundError:
        raise SourceError("nothing kept yet") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SourceError(f"{path.name} is unreadable ({error})") from error
    if digest(documents) != loaded.sha256:
        raise SourceError(f"{path.name} is damaged: its text is not the one that was kept")
    return loaded

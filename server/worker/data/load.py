"""Reads a corpus from the first of its sources that works, the cache before all others."""

from pathlib import Path

from server.worker.data.atomic import locked
from server.worker.data.base import (
    Corpus,
    DataUnavailableError,
    LoadedCorpus,
    Report,
    SourceError,
    digest,
)
from server.worker.data.cache import read_kept, write_kept


def load_corpus(corpus: Corpus, *, cache_dir: Path, report: Report) -> LoadedCorpus:
    """Read a corpus from the first of its sources that works.

    Args:
        corpus: the declaration.
        cache_dir: where a text that came over a network is kept after the first read.
        report: told of downloads.

    Returns:
        The documents and where they came from.

    Raises:
        DataUnavailableError: no source worked.
    """
    if not corpus.kept:
        return _first_that_works(corpus, report=report, failures=[])
    path = cache_dir / "corpora" / f"{corpus.name.value}.jsonl"
    with locked(path, report=report):
        try:
            return read_kept(corpus, path)
        except SourceError as error:
            loaded = _first_that_works(corpus, report=report, failures=[f"the cache: {error}"])
        write_kept(loaded, path)
        return loaded


def _first_that_works(corpus: Corpus, *, report: Report, failures: list[str]) -> LoadedCorpus:
    for source in corpus.sources:
        try:
            documents = source.read(report=report)
        except SourceError as error:
            failures.append(f"{source.described}: {error}")
        else:
            return LoadedCorpus(corpus, documents, source.described, digest(documents))
    tried = "; ".join(failures)
    raise DataUnavailableError(f"corpus {corpus.name.value!r} could not be read from any source: {tried}")

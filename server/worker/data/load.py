"""Reads a corpus or an image set from the first of its sources that works, the cache before all others."""

from collections.abc import Iterable
from pathlib import Path

from server.worker.data.atomic import locked
from server.worker.data.base import (
    Content_co,
    Corpus,
    DataUnavailableError,
    LoadedCorpus,
    Report,
    Source,
    SourceError,
    digest,
)
from server.worker.data.cache import read_kept, write_kept
from server.worker.data.cache_images import FORMAT, read_kept_images, write_kept_images
from server.worker.data.images import ImageSet, LoadedImages, digest_images


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

    def read(*failures: str) -> LoadedCorpus:
        what = f"corpus {corpus.name.value!r}"
        documents, source = _first_that_works(what, corpus.sources, report=report, failures=failures)
        return LoadedCorpus(corpus, documents, source, digest(documents))

    if not corpus.kept:
        return read()
    path = cache_dir / "corpora" / f"{corpus.name.value}.jsonl"
    with locked(path, report=report):
        try:
            return read_kept(corpus, path)
        except SourceError as error:
            loaded = read(f"the cache: {error}")
        write_kept(loaded, path)
        return loaded


def load_images(image_set: ImageSet, *, cache_dir: Path, report: Report) -> LoadedImages:
    """Read an image set from the first of its sources that works.

    Args:
        image_set: the declaration.
        cache_dir: where images that came over a network are kept after the first read.
        report: told of downloads.

    Returns:
        The images and where they came from.

    Raises:
        DataUnavailableError: no source worked.
    """

    def read(*failures: str) -> LoadedImages:
        what = f"image set {image_set.name.value!r}"
        parts, source = _first_that_works(what, image_set.sources, report=report, failures=failures)
        return LoadedImages(image_set, parts, source, digest_images(parts))

    if not image_set.kept:
        return read()
    path = cache_dir / "images" / f"{image_set.name.value}-v{FORMAT}.npz"
    with locked(path, report=report):
        try:
            return read_kept_images(image_set, path)
        except SourceError as error:
            loaded = read(f"the cache: {error}")
        write_kept_images(loaded, path)
        return loaded


def _first_that_works(
    what: str, sources: Iterable[Source[Content_co]], *, report: Report, failures: Iterable[str]
) -> tuple[Content_co, str]:
    """Return what the first working source gives, and its name; `failures` are earlier ones, to be told of."""
    tried = list(failures)
    for source in sources:
        try:
            return source.read(report=report), source.described
        except SourceError as error:
            tried.append(f"{source.described}: {error}")
    raise DataUnavailableError(f"{what} could not be read from any source: {'; '.join(tried)}")

"""What a corpus is, and how data is had: from the first of its sources that works.

A **document** is a stretch of text with a key that stays the same everywhere: a source file, a chapter.
A **corpus** is a declaration: a name, a licence, where the text comes from, and an ordered list of sources.
A **source** is one way to the documents, or to the images of `images`; trying it either gives all of them or
raises `SourceError`.
The **held-out** part is chosen document by document from a hash of the key, so it is the same on every
machine and stays the same when other documents come or go.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from sm3.remote.recipe_specs import CorpusName

HELD_OUT_SHARE = 0.05
"""Share of the documents kept for validation."""

Report: TypeAlias = Callable[[str], None]
"""Takes one line on what is happening now, for people who wait."""


Content_co = TypeVar("Content_co", covariant=True)
"""What a source gives: documents or images."""


class SourceError(Exception):
    """One source of a corpus or an image set could not be read; the message says why."""


class DataUnavailableError(Exception):
    """No source of a corpus or an image set could be read; the message names each one tried and why it failed."""


@dataclass(frozen=True)
class Document:
    """A stretch of text with a key that is unique in its corpus and the same on every machine."""

    key: str
    text: str

    @property
    def held_out(self) -> bool:
        """Whether this document is kept for validation."""
        digest = hashlib.sha256(self.key.encode()).digest()
        return int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * 2**64


class Source(Protocol[Content_co]):
    """One way to the data. A member of `Corpus.sources` or of `ImageSet.sources`."""

    @property
    def described(self) -> str:
        """Name the source in a few words, for errors and provenance."""

    def read(self, *, report: Report) -> Content_co:
        """Return all of it in a fixed order, or raise `SourceError`."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The declaration of a text.

    Attributes:
        name: what a spec calls it.
        title: what people call it.
        licence: the terms it may be used under.
        provenance: where the text comes from, a sentence.
        sources: ways to it, the best first.
        kept: whether the text is kept in the cache after the first read; for what comes over a network.
    """

    name: CorpusName
    title: str
    licence: str
    provenance: str
    sources: tuple[Source[Sequence[Document]], ...]
    kept: bool = False


@dataclass(frozen=True)
class LoadedCorpus:
    """The documents of a corpus as one machine has them.

    Attributes:
        corpus: the declaration.
        documents: all of them, held-out ones included, in a fixed order.
        source: which source they came from, in words.
        sha256: `digest` of the documents.
    """

    corpus: Corpus
    documents: Sequence[Document]
    source: str
    sha256: str


def digest(documents: Sequence[Document]) -> str:
    """Return the SHA-256 of keys and texts in order, each after its length so that none can run together."""
    total = hashlib.sha256()
    for document in documents:
        for part in (document.key, document.text):
            data = part.encode("utf-8", "surrogatepass")
            total.update(len(data).to_bytes(8, "big"))
            total.update(data)
    return total.hexdigest()

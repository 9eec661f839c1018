"""A corpus as token numbers, kept between jobs.

One folder holds one corpus at one vocabulary size: the tokenizer, the training tokens and the held-out ones,
both as `.npy` that is mapped rather than read. The folder appears whole, by one rename, so whoever sees it
can use it; a lock beside it lets one worker build while others wait.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from server.worker.data.atomic import locked, put_in_place
from server.worker.data.base import Corpus, LoadedCorpus, Report
from server.worker.data.load import load_corpus
from server.worker.data.tokenizer import encode, sample, train_tokenizer

FORMAT = 1
"""Goes up when the cut into pieces, the held-out rule or the files change, so that old folders go unused."""


@dataclass(frozen=True)
class Tokens:
    """A corpus as token numbers.

    Attributes:
        train: the training documents, 1-D, uint16 or uint32, mapped read-only.
        held_out: the held-out documents, likewise.
        tokenizer: what made them.
        loaded: the corpus they were made from.
    """

    train: NDArray[Any]
    held_out: NDArray[Any]
    tokenizer: Tokenizer
    loaded: LoadedCorpus


def load_tokens(corpus: Corpus, *, vocab: int, cache_dir: Path, report: Report) -> Tokens:
    """Return a corpus as tokens, training its tokenizer and encoding it if that was not done before.

    Args:
        corpus: the declaration.
        vocab: the most tokens the tokenizer may have.
        cache_dir: where the tokens are kept; safe to share among processes.
        report: told of steps that take seconds.

    Returns:
        The tokens.

    Raises:
        DataUnavailableError: no source of the corpus could be read.
        OSError: the cache cannot be written.
    """
    loaded = load_corpus(corpus, cache_dir=cache_dir, report=report)
    folder = cache_dir / "tokens" / f"{corpus.name.value}-{loaded.sha256[:16]}-{vocab}-v{FORMAT}"
    if not folder.exists():
        with locked(folder, report=report):
            if not folder.exists():
                _build(loaded, vocab=vocab, folder=folder, report=report)
    return Tokens(
        train=np.load(folder / "train.npy", mmap_mode="r"),
        held_out=np.load(folder / "held_out.npy", mmap_mode="r"),
        tokenizer=Tokenizer.from_file(str(folder / "tokenizer.json")),
        loaded=loaded,
    )


def _build(loaded: LoadedCorpus, *, vocab: int, folder: Path, report: Report) -> None:
    """Train, encode and write, then rename into place. The caller holds the folder's lock."""
    train = [document.text for document in loaded.documents if not document.held_out]
    held_out = [document.text for document in loaded.documents if document.held_out]
    sampled = sample(train, vocab=vocab)
    title = loaded.corpus.title
    report(f"training a {vocab:,}-token tokenizer on {_megabytes(sampled)} MB of {title} …")
    tokenizer = train_tokenizer(sampled, vocab=vocab)
    report(f"encoding {_megabytes(train)} MB of {title} …")
    dtype = np.uint16 if vocab <= 2**16 else np.uint32
    building = Path(f"{folder}.tmp")
    shutil.rmtree(building, ignore_errors=True)  # left by a worker that was killed while building
    building.mkdir()
    tokenizer.save(str(building / "tokenizer.json"))
    np.save(building / "train.npy", encode(tokenizer, train).astype(dtype))
    np.save(building / "held_out.npy", encode(tokenizer, held_out).astype(dtype))
    put_in_place(building, folder)


def _megabytes(texts: list[str]) -> str:
    return f"{sum(map(len, texts)) / 1e6:.1f}"

"""Byte-level BPE over pieces of our own cutting.

Text is first cut into **pieces** (a word with the space before it, a number, a run of signs, a run of
blanks); BPE then works inside each piece. The cut is ours rather than the library's because a corpus repeats
its pieces: each different one is encoded once and looked up afterwards, several times as fast on one core.
The same cut serves training and encoding, so the two cannot disagree.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|end|>"
"""Stands after every document."""

END_OF_TEXT_ID = 0
"""Its number, as the trainer gives special tokens the first ones."""

PIECE = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
"""GPT-2's cut in Python's `re`. Every character is a letter, digit, sign or blank, so no text is lost."""

SAMPLE_BYTES_PER_TOKEN = 700
"""Text the tokenizer is trained on, for each token it may have: enough for counts to settle."""


def sample(texts: Sequence[str], *, vocab: int) -> list[str]:
    """Choose evenly spaced texts to train a tokenizer on, or all of them where they are few.

    >>> sample(["ab", "cd", "ef"], vocab=2048)
    ['ab', 'cd', 'ef']
    """
    total = sum(map(len, texts))
    stride = max(1, total // (vocab * SAMPLE_BYTES_PER_TOKEN))
    return list(texts[::stride])


def train_tokenizer(texts: Iterable[str], *, vocab: int) -> Tokenizer:
    """Learn a byte-level BPE; the same texts give the same tokenizer.

    Args:
        texts: what to learn from.
        vocab: the most tokens it may have, 256 bytes and `END_OF_TEXT` included; a small text gives fewer.

    Returns:
        A tokenizer that expects pieces: encode with `encode`, not with its own methods.

    Raises:
        ValueError: `vocab` has no room for the 256 bytes and `END_OF_TEXT`.
    """
    if vocab < 257:
        raise ValueError(f"vocab must be at least 257, for 256 bytes and the end of text, got {vocab}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((PIECE.findall(text) for text in texts), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Iterable[str]) -> NDArray[np.uint32]:
    """Encode texts one after the other, `END_OF_TEXT` after each.

    Args:
        tokenizer: from `train_tokenizer`.
        texts: what to encode.

    Returns:
        Token numbers, 1-D.
    """
    number_of = defaultdict[str, int](count().__next__)  # each different piece by order of appearance
    sequences = [
        np.fromiter(map(number_of.__getitem__, PIECE.findall(text)), dtype=np.int64) for text in texts
    ]
    if not sequences:
        return np.zeros(0, dtype=np.uint32)
    encodings = tokenizer.encode_batch_fast(list(number_of), add_special_tokens=False)
    encoded = [encoding.ids for encoding in encodings] + [[END_OF_TEXT_ID]]
    end = np.array([len(number_of)], dtype=np.int64)
    pieces = np.concatenate([part for sequence in sequences for part in (sequence, end)])
    return _join(encoded, pieces)


def _join(encoded: Sequence[Sequence[int]], pieces: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Concatenate `encoded[p]` for each p of `pieces`, without a Python loop over them."""
    lengths = np.array([len(tokens) for tokens in encoded], dtype=np.int64)
    flat: NDArray[np.uint32] = np.fromiter(chain.from_iterable(encoded), dtype=np.uint32)
    starts = np.cumsum(lengths) - lengths
    piece_lengths = lengths[pieces]
    before = np.cumsum(piece_lengths) - piece_lengths  # tokens put out before each piece
    index = np.repeat(starts[pieces] - before, piece_lengths) + np.arange(piece_lengths.sum())
    joined: NDArray[np.uint32] = flat[index]
    return joined

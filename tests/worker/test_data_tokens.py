"""Tokens say the text exactly, the same on every run, however many workers make them at once."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.worker.data import tokens as tokens_module
from server.worker.data.base import Corpus, Document, Report
from server.worker.data.tokenizer import (
    END_OF_TEXT,
    END_OF_TEXT_ID,
    PIECE,
    encode,
    sample,
    train_tokenizer,
)
from server.worker.data.tokens import load_tokens
from sm3.remote.recipe_specs import CorpusName

TEXTS = [f"def function_{n}(self):\n    return self.value + {n}\n\n" for n in range(200)]
TOKENIZER = train_tokenizer(TEXTS, vocab=400)


class ListedSource:
    described = "a list"

    def read(self, *, report: Report) -> list[Document]:
        return [Document(f"{number}.py", text) for number, text in enumerate(TEXTS)]


LISTED = Corpus(
    name=CorpusName.STDLIB, title="a list", licence="none", provenance="made here", sources=(ListedSource(),)
)


def silent(line: str) -> None:
    """Take a report and say nothing."""


@given(st.text(max_size=50))
@settings(max_examples=50, deadline=None)
def test_the_cut_into_pieces_loses_no_character(text):
    assert "".join(PIECE.findall(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
@settings(max_examples=50, deadline=None)
def test_decoding_gives_the_text_back(text):
    tokens = encode(TOKENIZER, [text])
    assert tokens[-1] == END_OF_TEXT_ID
    assert TOKENIZER.decode(tokens[:-1].tolist(), skip_special_tokens=False) == text


@given(st.lists(st.text(st.sampled_from("ab 1\n('_"), max_size=30), max_size=5))
@settings(deadline=None)
def test_encoding_many_texts_equals_encoding_piece_after_piece(texts):
    naive = [
        token
        for text in texts
        for piece in [*PIECE.findall(text), END_OF_TEXT]
        for token in TOKENIZER.encode(piece).ids
    ]
    assert encode(TOKENIZER, texts).tolist() == naive


def test_text_that_reads_like_the_end_of_text_is_not_taken_for_it():
    assert END_OF_TEXT_ID not in encode(TOKENIZER, [f"x = '{END_OF_TEXT}'"])[:-1]


def test_the_end_of_text_is_the_first_token_and_the_vocabulary_has_the_size_asked_for():
    assert TOKENIZER.token_to_id(END_OF_TEXT) == END_OF_TEXT_ID
    assert TOKENIZER.get_vocab_size() == 400


def test_the_same_text_gives_the_same_tokenizer():
    assert train_tokenizer(TEXTS, vocab=400).to_str() == TOKENIZER.to_str()


def test_a_vocabulary_without_room_for_all_bytes_is_refused():
    with pytest.raises(ValueError, match="at least 257"):
        train_tokenizer(TEXTS, vocab=256)


def test_the_sample_grows_with_the_vocabulary_up_to_everything():
    texts = ["x" * 1000] * 2000
    assert [len(sample(texts, vocab=vocab)) for vocab in (300, 1000, 50_000)] == [223, 1000, 2000]


def test_tokens_are_made_once_and_mapped_afterwards(tmp_path):
    said: list[str] = []
    first = load_tokens(LISTED, vocab=300, cache_dir=tmp_path, report=said.append)
    assert len(said) == 2
    second = load_tokens(LISTED, vocab=300, cache_dir=tmp_path, report=said.append)
    assert len(said) == 2
    assert isinstance(second.train, np.memmap)
    assert second.train.dtype == np.uint16
    np.testing.assert_array_equal(first.train, second.train)
    np.testing.assert_array_equal(first.held_out, second.held_out)


def test_training_and_held_out_tokens_are_the_documents_of_each_part(tmp_path):
    tokens = load_tokens(LISTED, vocab=300, cache_dir=tmp_path, report=silent)
    documents = tokens.loaded.documents
    for part, held_out in ((tokens.train, False), (tokens.held_out, True)):
        texts = [document.text for document in documents if document.held_out is held_out]
        assert texts
        assert tokens.tokenizer.decode(part.tolist(), skip_special_tokens=True) == "".join(texts)
        assert np.count_nonzero(part == END_OF_TEXT_ID) == len(texts)


def test_each_vocabulary_size_has_tokens_of_its_own(tmp_path):
    small = load_tokens(LISTED, vocab=300, cache_dir=tmp_path, report=silent)
    large = load_tokens(LISTED, vocab=70_000, cache_dir=tmp_path, report=silent)
    assert large.train.size < small.train.size
    assert large.train.dtype == np.uint32


def test_what_a_killed_worker_left_is_cleared_away(tmp_path):
    load_tokens(LISTED, vocab=300, cache_dir=tmp_path, report=silent)
    (made,) = [path for path in (tmp_path / "tokens").iterdir() if path.is_dir()]
    half = Path(f"{made}.tmp")
    made.rename(half)
    (half / "train.npy").write_bytes(b"half")
    tokens = load_tokens(LISTED, vocab=300, cache_dir=tmp_path, report=silent)
    assert tokens.train.size > 0
    assert not half.exists()


def test_nothing_appears_under_the_final_name_when_building_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(tokens_module, "encode", _raise_disk_full)
    with pytest.raises(OSError, match="No space left"):
        load_tokens(LISTED, vocab=300, cache_dir=tmp_path, report=silent)
    assert [path.suffix for path in (tmp_path / "tokens").iterdir() if path.is_dir()] == [".tmp"]


def _raise_disk_full(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def _load_and_tell(cache_dir: Path, results: "multiprocessing.Queue[tuple[int, int]]") -> None:
    said: list[str] = []
    tokens = load_tokens(LISTED, vocab=300, cache_dir=cache_dir, report=said.append)
    trained = sum(line.startswith("training") for line in said)
    results.put((trained, int(tokens.train.sum())))


def test_two_workers_at_once_build_once_and_see_the_same(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_load_and_tell, args=(tmp_path, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    trained, sums = zip(*[results.get(timeout=60) for _ in workers], strict=True)
    for worker in workers:
        worker.join()
    assert sum(trained) == 1
    assert len(set(sums)) == 1

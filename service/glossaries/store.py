"""Glossaries in an SQLite file, each for its owner only.

A glossary has dictionaries, one for each pair of languages; a dictionary has entries. An entry is found by the first
word of its source term, so that a translation reads the few entries that its texts can contain.
"""

import json
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.errors import TooLarge, UnknownGlossary
from service.settings import SettingsError

VERSION = 1
MAX_GLOSSARIES = 1000  # of one owner
MAX_ENTRIES = 1_000_000  # of all glossaries of one owner
MAX_ENDING = 3  # letters that a word may have after a term of one word: see `service.text.glossary`
WAIT_SECONDS = 5.0  # for another process that writes to the file
WORD = re.compile(r"\w+")
SCHEMA = """
CREATE TABLE glossary (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL
);
CREATE INDEX glossary_of_owner ON glossary (owner, created);
CREATE TABLE dictionary (
    id INTEGER PRIMARY KEY, glossary TEXT NOT NULL REFERENCES glossary ON DELETE CASCADE,
    source TEXT NOT NULL, target TEXT NOT NULL, UNIQUE (glossary, source, target)
);
CREATE TABLE entry (
    dictionary INTEGER NOT NULL REFERENCES dictionary ON DELETE CASCADE,
    source TEXT NOT NULL, target TEXT NOT NULL, word TEXT NOT NULL, UNIQUE (dictionary, source)
);
CREATE INDEX entry_by_word ON entry (dictionary, word);
"""

Pair = tuple[str, str]  # source and target language
Dictionaries = Mapping[Pair, Mapping[str, str]]  # the entries of each pair


@dataclass(frozen=True)
class GlossaryInfo:
    """A glossary without its entries."""

    id: str
    name: str
    created: float  # seconds since the epoch
    entry_counts: dict[Pair, int]  # of each dictionary, in the order in which they were created


class GlossaryStore:
    """All glossaries. Its methods block, for milliseconds mostly: call them in another thread than the event loop's."""

    def __init__(self, file: Path | None) -> None:
        """Open the file, and create it if it does not exist; None keeps the glossaries in memory.

        Raises:
            SettingsError: the file cannot be opened or is not one of ours.
        """
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                file or ":memory:", timeout=WAIT_SECONDS, check_same_thread=False, isolation_level=None
            )
            self._prepare()
        except sqlite3.Error as error:
            raise SettingsError(f"ATTENDANT_GLOSSARY_FILE is {str(file)!r}, which cannot be opened: {error}") from None

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA foreign_keys = ON")
        with self._transaction():
            [version] = self._connection.execute("PRAGMA user_version").fetchone()
            [tables] = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version == 0 and tables == 0:
                for statement in SCHEMA.split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise sqlite3.DatabaseError("it is another application's, or of another version")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Hold the lock, and write all changes or none."""
        with self._lock:
            self._connection.execute(begin)
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._transaction("BEGIN")

    def create(self, owner: str, name: str, dictionaries: Dictionaries) -> GlossaryInfo:
        """Keep a new glossary.

        Raises:
            TooLarge: the owner has too many glossaries or entries.
        """
        glossary_id = str(uuid.uuid4())
        with self._transaction() as connection:
            [count] = connection.execute("SELECT count(*) FROM glossary WHERE owner = ?", (owner,)).fetchone()
            if count >= MAX_GLOSSARIES:
                raise TooLarge(f"there are {count} glossaries; at most {MAX_GLOSSARIES} are kept: delete one")
            connection.execute("INSERT INTO glossary VALUES (?, ?, ?, ?)", (glossary_id, owner, name, time.time()))
            for pair, entries in dictionaries.items():
                self._add(glossary_id, pair, entries)
            self._check_entries(owner)
            return self._info(owner, glossary_id)

    def all_of(self, owner: str) -> list[GlossaryInfo]:
        """Return all glossaries of an owner, the oldest first."""
        with self._reading():
            return self._infos("glossary.owner = ?", owner)

    def get(self, owner: str, glossary_id: str) -> GlossaryInfo:
        """Return a glossary.

        Raises:
            UnknownGlossary: the owner has no such glossary.
        """
        with self._reading():
            return self._info(owner, glossary_id)

    def entries(self, owner: str, glossary_id: str, pair: Pair) -> dict[str, str]:
        """Return the entries of a dictionary, in the order in which they were added.

        Raises:
            UnknownGlossary: the owner has no such glossary, or it has no such dictionary.
        """
        with self._reading() as connection:
            dictionary = self._dictionary(owner, glossary_id, pair)
            query = "SELECT source, target FROM entry WHERE dictionary = ? ORDER BY rowid"
            return dict(connection.execute(query, (dictionary,)).fetchall())

    def candidates(self, owner: str, glossary_id: str, pair: Pair, words: Sequence[str]) -> dict[str, str]:
        """Return the entries whose source term begins with one of these words, or with no word at all.

        Raises:
            UnknownGlossary: the owner has no such glossary, or it has no such dictionary.
        """
        with self._reading() as connection:
            dictionary = self._dictionary(owner, glossary_id, pair)
            query = (
                "SELECT source, target FROM entry WHERE dictionary = ? "
                "AND word IN (SELECT value FROM json_each(?)) ORDER BY rowid"
            )
            return dict(connection.execute(query, (dictionary, json.dumps(["", *words]))).fetchall())

    def update(self, owner: str, glossary_id: str, name: str | None, dictionaries: Dictionaries) -> GlossaryInfo:
        """Change the name, and add entries to the dictionaries; an entry replaces one with the same source term.

        Raises:
            UnknownGlossary: the owner has no such glossary.
            TooLarge: the owner has too many entries.
        """
        with self._transaction() as connection:
            self._check_owner(owner, glossary_id)
            if name is not None:
                connection.execute("UPDATE glossary SET name = ? WHERE id = ?", (name, glossary_id))
            for pair, entries in dictionaries.items():
                self._add(glossary_id, pair, entries)
            self._check_entries(owner)
            return self._info(owner, glossary_id)

    def replace(self, owner: str, glossary_id: str, pair: Pair, entries: Mapping[str, str]) -> None:
        """Replace the entries of a dictionary, or create it.

        Raises:
            UnknownGlossary: the owner has no such glossary.
            TooLarge: the owner has too many entries.
        """
        with self._transaction() as connection:
            self._check_owner(owner, glossary_id)
            query = (
                "DELETE FROM entry WHERE dictionary IN "
                "(SELECT id FROM dictionary WHERE glossary = ? AND source = ? AND target = ?)"
            )
            connection.execute(query, (glossary_id, *pair))
            self._add(glossary_id, pair, entries)
            self._check_entries(owner)

    def delete(self, owner: str, glossary_id: str) -> None:
        """Delete a glossary.

        Raises:
            UnknownGlossary: the owner has no such glossary.
        """
        with self._transaction() as connection:
            self._check_owner(owner, glossary_id)
            connection.execute("DELETE FROM glossary WHERE id = ?", (glossary_id,))

    def delete_dictionary(self, owner: str, glossary_id: str, pair: Pair) -> None:
        """Delete a dictionary of a glossary.

        Raises:
            UnknownGlossary: the owner has no such glossary, or it has no such dictionary.
        """
        with self._transaction() as connection:
            dictionary = self._dictionary(owner, glossary_id, pair)
            connection.execute("DELETE FROM dictionary WHERE id = ?", (dictionary,))

    def _check_owner(self, owner: str, glossary_id: str) -> None:
        query = "SELECT 1 FROM glossary WHERE id = ? AND owner = ?"
        if self._connection.execute(query, (glossary_id, owner)).fetchone() is None:
            raise UnknownGlossary("Glossary not found")

    def _info(self, owner: str, glossary_id: str) -> GlossaryInfo:
        self._check_owner(owner, glossary_id)
        [info] = self._infos("glossary.id = ?", glossary_id)
        return info

    def _infos(self, condition: str, value: str) -> list[GlossaryInfo]:
        """Return the glossaries that a condition holds for, the oldest first, in one query."""
        query = (
            "SELECT glossary.id, name, created, dictionary.source, dictionary.target, count(entry.source) "
            "FROM glossary LEFT JOIN dictionary ON dictionary.glossary = glossary.id "
            "LEFT JOIN entry ON entry.dictionary = dictionary.id "
            f"WHERE {condition} GROUP BY glossary.id, dictionary.id "
            "ORDER BY created, glossary.rowid, dictionary.id"
        )
        found: dict[str, GlossaryInfo] = {}
        for glossary_id, name, created, source, target, count in self._connection.execute(query, (value,)):
            info = found.setdefault(glossary_id, GlossaryInfo(glossary_id, name, created, {}))
            if source is not None:  # else it has no dictionary
                info.entry_counts[source, target] = count
        return list(found.values())

    def _dictionary(self, owner: str, glossary_id: str, pair: Pair) -> int:
        """Return the id of a dictionary."""
        self._check_owner(owner, glossary_id)
        query = "SELECT id FROM dictionary WHERE glossary = ? AND source = ? AND target = ?"
        row = self._connection.execute(query, (glossary_id, *pair)).fetchone()
        if row is None:
            raise UnknownGlossary(f"Dictionary not found: the glossary has none from {pair[0]} to {pair[1]}")
        return int(row[0])

    def _add(self, glossary_id: str, pair: Pair, entries: Mapping[str, str]) -> None:
        query = "INSERT OR IGNORE INTO dictionary (glossary, source, target) VALUES (?, ?, ?)"
        self._connection.execute(query, (glossary_id, *pair))
        query = "SELECT id FROM dictionary WHERE glossary = ? AND source = ? AND target = ?"
        [dictionary] = self._connection.execute(query, (glossary_id, *pair)).fetchone()
        self._connection.executemany(
            "INSERT INTO entry VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET target = excluded.target",
            ((dictionary, source, target, first_word(source)) for source, target in entries.items()),
        )

    def _check_entries(self, owner: str) -> None:
        query = (
            "SELECT count(*) FROM entry JOIN dictionary ON entry.dictionary = dictionary.id "
            "JOIN glossary ON dictionary.glossary = glossary.id WHERE owner = ?"
        )
        [count] = self._connection.execute(query, (owner,)).fetchone()
        if count > MAX_ENTRIES:
            raise TooLarge(f"the glossaries would have {count} entries; at most {MAX_ENTRIES} are kept: delete some")


def first_word(term: str) -> str:
    """Return the first word of a term in lower case; empty if it has none."""
    match = WORD.search(term)
    return match[0].casefold() if match else ""


def words_of(texts: Sequence[str]) -> list[str]:
    """Return the first words that terms in these texts may have: each word, and its beginnings without an ending."""
    words = {word.casefold() for text in texts for word in WORD.findall(text)}
    return sorted({word[: len(word) - ending] for word in words for ending in range(min(MAX_ENDING + 1, len(word)))})

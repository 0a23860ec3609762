"""Glossaries in an SQLite file."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.errors import DeadlineExceeded, TooLarge, UnknownGlossary
from service.glossaries import store as store_module
from service.glossaries.store import GlossaryStore
from service.glossaries.terms import GlossaryTerms
from service.settings import SettingsError

EN_DE, DE_EN = ("en", "de"), ("de", "en")
TERMS = {"dog": "Köter", "big house": "Villa", "US": "USA", "&": "und"}


@pytest.fixture
def store() -> Iterator[GlossaryStore]:
    opened = GlossaryStore(None)
    yield opened
    opened.close()


def terms(store: GlossaryStore, glossary_id: str, *texts: str, owner: str = "alice") -> dict[str, str]:
    return GlossaryTerms(store, owner, glossary_id, EN_DE).find(texts, lambda: None)


def test_glossaries_survive_a_restart(tmp_path: Path) -> None:
    first = GlossaryStore(tmp_path / "glossaries")
    created = first.create("alice", "animals", {EN_DE: TERMS, DE_EN: {"Hund": "dog"}})
    first.close()
    second = GlossaryStore(tmp_path / "glossaries")
    assert second.all_of("alice") == [created]
    assert second.get("alice", created.id) == created
    assert created.entry_counts == {EN_DE: 4, DE_EN: 1}
    assert second.entries("alice", created.id, EN_DE) == TERMS
    second.close()


def test_a_glossary_belongs_to_its_owner(store: GlossaryStore) -> None:
    created = store.create("alice", "animals", {EN_DE: TERMS})
    assert store.all_of("bob") == []
    for call in (
        lambda: store.get("bob", created.id),
        lambda: store.entries("bob", created.id, EN_DE),
        lambda: store.update("bob", created.id, "mine", {}),
        lambda: store.replace("bob", created.id, EN_DE, {}),
        lambda: store.delete("bob", created.id),
        lambda: store.delete_dictionary("bob", created.id, EN_DE),
        lambda: terms(store, created.id, "dog", owner="bob"),
    ):
        with pytest.raises(UnknownGlossary):
            call()
    assert store.get("alice", created.id) == created


def test_dictionaries_are_changed_replaced_and_deleted(store: GlossaryStore) -> None:
    created = store.create("alice", "animals", {EN_DE: {"dog": "Köter", "cat": "Katze"}})
    changed = store.update(
        "alice", created.id, "pets", {EN_DE: {"dog": "Hund", "bird": "Vogel"}, DE_EN: {"Tier": "pet"}}
    )
    assert (changed.name, changed.created) == ("pets", created.created)
    assert store.entries("alice", created.id, EN_DE) == {"dog": "Hund", "cat": "Katze", "bird": "Vogel"}
    store.replace("alice", created.id, EN_DE, {"fish": "Fisch"})
    assert store.get("alice", created.id).entry_counts == {EN_DE: 1, DE_EN: 1}
    store.delete_dictionary("alice", created.id, EN_DE)
    for call in (store.entries, store.delete_dictionary):
        with pytest.raises(UnknownGlossary, match="from en to de"):
            call("alice", created.id, EN_DE)
    store.delete("alice", created.id)
    with pytest.raises(UnknownGlossary):
        store.get("alice", created.id)


def test_only_terms_of_the_texts_are_found(store: GlossaryStore) -> None:
    many = {f"term {i}": f"Wort {i}" for i in range(10_000)}
    created = store.create("alice", "animals", {EN_DE: TERMS | many})
    assert terms(store, created.id, "The DOGS like it.", "A big\n house & a car") == {
        "dog": "Köter", "big house": "Villa", "&": "und",
    }  # fmt: skip
    assert terms(store, created.id, "Nothing.") == {}
    assert terms(store, created.id, "This is term 77.") == {"term 7": "Wort 7", "term 77": "Wort 77"}
    with pytest.raises(TooLarge, match="the texts contain 1001 terms of the glossary; at most 200"):
        terms(store, created.id, " ".join(f"term 1{i}" for i in range(1000)))


def test_the_search_for_terms_stops_with_its_request(store: GlossaryStore) -> None:
    created = store.create("alice", "animals", {EN_DE: TERMS})

    def check() -> None:
        raise DeadlineExceeded("no answer within 60 s")

    with pytest.raises(DeadlineExceeded):
        GlossaryTerms(store, "alice", created.id, EN_DE).find(["dog"], check)


def test_one_owner_keeps_a_limited_number(store: GlossaryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_GLOSSARIES", 2)
    monkeypatch.setattr(store_module, "MAX_ENTRIES", 5)
    first = store.create("alice", "one", {EN_DE: {"a": "b", "c": "d"}})
    with pytest.raises(TooLarge, match="would have 6 entries; at most 5"):
        store.create("alice", "two", {EN_DE: {str(i): "x" for i in range(4)}})
    with pytest.raises(TooLarge, match="would have 6 entries"):
        store.update("alice", first.id, "two", {DE_EN: {str(i): "x" for i in range(4)}})
    assert store.all_of("alice") == [first]  # nothing of what was refused is kept
    store.create("alice", "two", {})
    with pytest.raises(TooLarge, match="there are 2 glossaries; at most 2"):
        store.create("alice", "three", {})
    store.create("bob", "one", {})


def test_threads_share_the_store(store: GlossaryStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: store.create("alice", str(i), {EN_DE: {"dog": str(i)}}), range(40)))
    assert {info.name for info in store.all_of("alice")} == {str(i) for i in range(40)}


@pytest.mark.parametrize("kind", ["text", "another database", "folder"])
def test_a_file_that_is_not_ours_is_an_error(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "glossaries"
    if kind == "folder":
        file.mkdir()
    elif kind == "text":
        file.write_text("not a database, but long enough for one" * 100, "utf-8")
    else:
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE other (name TEXT)")
        connection.close()
    with pytest.raises(SettingsError, match=r"ATTENDANT_GLOSSARY_FILE is .*glossaries', which cannot be opened"):
        GlossaryStore(file)

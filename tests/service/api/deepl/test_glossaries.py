"""DeepL's glossaries: the official client against a running service."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import deepl
import httpx
import pytest
from deepl.api_data import MultilingualGlossaryDictionaryEntries, MultilingualGlossaryInfo

from service.engine.factory import start_pools
from service.http.api_keys import make_api_key
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import Service, eventually, serving

UNKNOWN = "96ab91fd-e715-41a1-adeb-5d701f84a483"
DICTIONARY = {"source_lang": "en", "target_lang": "de", "entries": "house\tVilla", "entries_format": "tsv"}
(ALICE, ALICE_ENTRY), (BOB, BOB_ENTRY) = make_api_key("alice"), make_api_key("bob")


@pytest.fixture
def client(bilingual: Service) -> Iterator[deepl.DeepLClient]:
    with closing(deepl.DeepLClient("any key", server_url=bilingual.url)) as opened:
        yield opened
        for glossary in opened.list_multilingual_glossaries():
            opened.delete_multilingual_glossary(glossary)


def assert_error(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text[:500]
    body = response.json()
    assert body.keys() == {"message"}
    message: str = body["message"]
    return message


def entries_of(client: deepl.DeepLClient, glossary: MultilingualGlossaryInfo) -> str:
    """Return the entries from English to German. (The client declares a dictionary, and returns a string.)"""
    [dictionary] = client.get_multilingual_glossary_entries(glossary, "EN", "DE").dictionaries
    return str(dictionary.entries)


def terms_used(bilingual: Service, glossary_id: str, text: str, source: str = "EN", target: str = "DE") -> list[str]:
    """Translate, and return the terms of the glossary in the text: the toy translator says that it missed them."""
    body = {"text": [text], "source_lang": source, "target_lang": target, "glossary_id": glossary_id}
    [found] = bilingual.post("/v2/translate", body).json()["translations"]
    return [one.removeprefix("glossary_missed: ") for one in found.get("warnings", ()) if "glossary_missed" in one]


def test_a_glossary_is_used_in_translations(bilingual: Service, client: deepl.DeepLClient) -> None:
    glossary = client.create_glossary("buildings", "EN", "DE", {"house": "Villa", "mouse": "Ratte"})
    assert (glossary.name, glossary.source_lang, glossary.target_lang) == ("buildings", "EN", "DE")
    assert (glossary.entry_count, glossary.ready) == (2, True)
    assert client.get_glossary(glossary.glossary_id).creation_time == glossary.creation_time
    assert client.get_glossary_entries(glossary) == {"house": "Villa", "mouse": "Ratte"}
    assert isinstance(client.translate_text_with_glossary("house", glossary), deepl.TextResult)
    assert terms_used(bilingual, glossary.glossary_id, "one house") == ["house"]
    assert terms_used(bilingual, glossary.glossary_id, "one dog") == []
    client.delete_glossary(glossary)
    with pytest.raises(deepl.GlossaryNotFoundException):
        client.get_glossary(glossary.glossary_id)


def test_a_glossary_is_used_in_documents(client: deepl.DeepLClient) -> None:
    glossary = client.create_glossary("buildings", "EN", "DE", {"house": "Villa"})
    handle = client.translate_document_upload(
        "house\ndog", source_lang="EN", target_lang="DE", glossary=glossary, filename="a.txt"
    )
    eventually(lambda: client.translate_document_get_status(handle).done)  # the client's own wait takes five seconds
    downloaded = client.translate_document_download(handle)
    assert downloaded is not None
    assert downloaded.content.decode().endswith("\nHund")
    with pytest.raises(deepl.DeepLException, match="Glossary not found"):
        client.translate_document_upload(
            "house", source_lang="EN", target_lang="DE", glossary=UNKNOWN, filename="a.txt"
        )


def test_a_glossary_may_have_ten_thousand_entries(bilingual: Service, client: deepl.DeepLClient) -> None:
    entries = {f"Source-${i}": f"Target-${i}" for i in range(10_000)} | {"house": "Villa"}
    glossary = client.create_glossary("large", "EN", "DE", entries)
    assert glossary.entry_count == 10_001
    assert client.get_glossary_entries(glossary) == entries
    assert terms_used(bilingual, glossary.glossary_id, "one house") == ["house"]


def test_a_multilingual_glossary_has_dictionaries(bilingual: Service, client: deepl.DeepLClient) -> None:
    dictionaries = [
        MultilingualGlossaryDictionaryEntries("EN", "DE", {"house": "Villa"}),
        MultilingualGlossaryDictionaryEntries("DE", "EN", {"Hund": "hound"}),
    ]
    glossary = client.create_multilingual_glossary("both", dictionaries)
    assert [(one.source_lang, one.target_lang, one.entry_count) for one in glossary.dictionaries] == [
        ("EN", "DE", 1), ("DE", "EN", 1),
    ]  # fmt: skip
    assert terms_used(bilingual, glossary.glossary_id, "ein Hund", "DE", "EN-GB") == ["Hund"]
    assert client.list_glossaries() == []  # version 2 knows glossaries of one pair of languages only
    added = MultilingualGlossaryDictionaryEntries("EN", "DE", {"dog": "Köter"})
    client.update_multilingual_glossary_dictionary(glossary, added)
    assert entries_of(client, glossary) == "house\tVilla\ndog\tKöter"
    client.replace_multilingual_glossary_dictionary(glossary, added)
    assert entries_of(client, glossary) == "dog\tKöter"
    assert client.update_multilingual_glossary_name(glossary, "one").name == "one"
    client.delete_multilingual_glossary_dictionary(glossary, source_lang="DE", target_lang="EN")
    assert [one.glossary_id for one in client.list_glossaries()] == [glossary.glossary_id]
    with pytest.raises(deepl.GlossaryNotFoundException, match="Dictionary not found"):
        client.get_multilingual_glossary_entries(glossary, "DE", "EN")


def test_entries_may_be_comma_separated(client: deepl.DeepLClient) -> None:
    glossary = client.create_glossary_from_csv("csv", "EN", "DE", 'house,"Villa, Haus",en,de\nchat,Katze,fr,de')
    assert client.get_glossary_entries(glossary) == {"house": "Villa, Haus"}


def test_pairs_of_languages_are_listed(client: deepl.DeepLClient) -> None:
    """Weblate asks for them before every translation."""
    found = [(pair.source_lang, pair.target_lang) for pair in client.get_glossary_languages()]
    assert sorted(found) == [("de", "en"), ("en", "de")]


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"glossary_id": UNKNOWN}, 404, "Glossary not found"),
        ({"glossary_id": "buildings"}, 400, "Value for 'glossary_id' not supported."),
        ({"glossary_id": UNKNOWN, "source_lang": None}, 400, "Use of a glossary requires the source_lang parameter"),
        ({"glossary_ids": [UNKNOWN]}, 400, "glossary_ids: not supported here"),
    ],
)
def test_translations_with_an_unusable_glossary_are_refused(
    bilingual: Service, changes: dict[str, Any], status: int, message: str
) -> None:
    body = {"text": ["house"], "source_lang": "EN", "target_lang": "DE"} | changes
    assert message in assert_error(bilingual.post("/v2/translate", body), status)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v2/glossaries", DICTIONARY, "name: Field required"),
        ("/v2/glossaries", DICTIONARY | {"name": " "}, "name"),
        ("/v2/glossaries", DICTIONARY | {"name": "a", "target_lang": "XX"}, "Unsupported glossary source and target"),
        ("/v2/glossaries", DICTIONARY | {"name": "a", "target_lang": "EN"}, "Unsupported glossary source and target"),
        ("/v2/glossaries", DICTIONARY | {"name": "a", "entries": "house"}, "misses the tab separator"),
        ("/v2/glossaries", DICTIONARY | {"name": "a", "entries_format": "xls"}, "entries_format"),
        ("/v3/glossaries", {"name": "a", "dictionaries": []}, "dictionaries"),
        ("/v3/glossaries", {"name": "a", "dictionaries": [DICTIONARY, DICTIONARY]}, "two dictionaries from en to de"),
    ],
)
def test_invalid_glossaries_are_refused(bilingual: Service, path: str, body: Any, message: str) -> None:
    assert message in assert_error(bilingual.post(path, body), 400)
    assert bilingual.client.get("/v3/glossaries").json() == {"glossaries": []}


def test_a_form_creates_a_glossary(bilingual: Service, client: deepl.DeepLClient) -> None:
    created = bilingual.client.post("/v2/glossaries", data=DICTIONARY | {"name": "form"})
    assert (created.status_code, created.json()["entry_count"]) == (201, 1)
    url = f"/v2/glossaries/{created.json()['glossary_id']}/entries"
    entries = bilingual.client.get(url)
    assert (entries.text, entries.headers["content-type"]) == (
        "house\tVilla",
        "text/tab-separated-values; charset=utf-8",
    )
    assert_error(bilingual.client.get(url, headers={"Accept": "application/json"}), 415)
    assert_error(bilingual.client.get("/v2/glossaries/1/entries"), 400)
    assert client.list_glossaries()[0].name == "form"


def test_unknown_paths_have_the_words_of_the_dialect(bilingual: Service) -> None:
    for path in ("/v3/nothing", "/v3/style_rules", "/v2/write/rephrase", "/v2/glossaries/1/2/3"):
        assert "Not Found" in assert_error(bilingual.client.get(path), 404)


def test_glossaries_of_a_key_are_kept_in_a_file(english_and_german: Path, tmp_path: Path) -> None:
    settings = Settings(
        models=english_and_german, workers=1, threads=1, keys=f"{ALICE_ENTRY},{BOB_ENTRY}",
        glossary_file=tmp_path / "glossaries",
    )  # fmt: skip
    for restarted in (False, True):
        metrics = Metrics()
        with ExitStack() as stack:  # closes the clients first: a stopping service waits for their connections
            service = stack.enter_context(serving(settings, load_models(settings, metrics, start_pools), metrics))
            alice, bob, unknown = (
                stack.enter_context(closing(deepl.DeepLClient(key, server_url=service.url)))
                for key in (ALICE, BOB, "another")
            )
            if not restarted:
                created = alice.create_glossary("buildings", "EN", "DE", {"house": "Villa"})
            assert alice.get_glossary_entries(created) == {"house": "Villa"}
            assert bob.list_glossaries() == []
            with pytest.raises(deepl.GlossaryNotFoundException):
                bob.get_glossary(created.glossary_id)
            with pytest.raises(deepl.GlossaryNotFoundException):
                bob.delete_glossary(created)
            with pytest.raises(deepl.AuthorizationException):
                unknown.list_glossaries()


def test_dictionaries_may_be_fields_of_a_form(bilingual: Service, client: deepl.DeepLClient) -> None:
    """As DeepL's client for JavaScript sends them."""
    form = {
        "name": "buildings", "dictionaries[1].source_lang": "de", "dictionaries[1].target_lang": "en",
        "dictionaries[1].entries": "Haus,villa", "dictionaries[1].entries_format": "csv",
        **{f"dictionaries[0].{name}": value for name, value in DICTIONARY.items()},
    }  # fmt: skip
    response = bilingual.client.post("/v3/glossaries", data=form)
    assert response.status_code == 201, response.text
    found = response.json()
    assert [(one["source_lang"], one["entry_count"]) for one in found["dictionaries"]] == [("en", 1), ("de", 1)]
    changed = form | {"name": "houses", "dictionaries[0].entries": "dog\tKöter"}
    path = f"/v3/glossaries/{found['glossary_id']}"
    assert bilingual.client.patch(path, data=changed).json()["dictionaries"][0]["entry_count"] == 2
    del form["dictionaries[0].entries"]
    assert "entries" in assert_error(bilingual.client.post("/v3/glossaries", data=form), 400)

"""DeepL's dialect: the official client against a running service, and forms as older clients send them."""

from typing import Any

import deepl
import httpx
import pytest

from tests.service.conftest import Service

ASK = {"text": ["red house"], "source_lang": "EN", "target_lang": "DE"}


def assert_error(response: httpx.Response, status: int) -> str:
    """An error in the dialect's own shape; what it says."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"message"}
    said: str = body["message"]
    assert len(said) < 1000
    return said


@pytest.fixture
def client(babel: Service) -> deepl.DeepLClient:
    return deepl.DeepLClient("any key", server_url=babel.url)


def test_the_official_client_translates(client: deepl.DeepLClient) -> None:
    one = client.translate_text("red house", source_lang="EN", target_lang="DE")
    assert isinstance(one, deepl.TextResult)
    assert (one.text, one.detected_source_lang, one.billed_characters) == ("rot Haus", "EN", 9)
    many = client.translate_text(["grün Vogel", "", "Hund"], source_lang="de", target_lang="EN-US")
    assert isinstance(many, list)
    assert [one.text for one in many] == ["green bird", "", "dog"]
    assert [one.billed_characters for one in many] == [10, 0, 4]


def test_the_official_client_lists_languages(client: deepl.DeepLClient) -> None:
    assert [(one.code, one.name) for one in client.get_source_languages()] == [("DE", "German"), ("EN", "English")]
    targets = client.get_target_languages()
    assert [(one.code, one.supports_formality) for one in targets] == [
        ("DE", False), ("EN-GB", False), ("EN-US", False),
    ]  # fmt: skip
    assert [one.name for one in targets] == ["German", "English (GB)", "English (US)"]


def test_the_official_client_sees_its_usage(client: deepl.DeepLClient) -> None:
    before = client.get_usage().character.count
    client.translate_text("red house", target_lang="DE")
    used = client.get_usage()
    assert used.character.valid
    assert not used.any_limit_reached
    assert used.character.count == (before or 0) + 9


def test_the_official_client_meets_errors(client: deepl.DeepLClient) -> None:
    with pytest.raises(deepl.DeepLException, match="Value for 'target_lang' not supported: 'FR'") as caught:
        client.translate_text("red house", target_lang="FR")
    assert caught.value.http_status_code == 400
    with pytest.raises(deepl.DeepLException, match="formality"):
        client.translate_text("red house", target_lang="DE", formality="more")
    with pytest.raises(deepl.DeepLException, match="glossary_id: not supported here"):
        client.translate_text("red house", source_lang="EN", target_lang="DE", glossary="some-id")
    with pytest.raises(deepl.DeepLException, match="Not Found"):
        client.list_glossaries()


def test_markup(client: deepl.DeepLClient) -> None:
    page = "<p>red house</p><script>red house</script><p class='x'>one <b>green</b> bird &amp; dog</p>"
    found = client.translate_text(page, source_lang="EN", target_lang="DE", tag_handling="html")
    assert isinstance(found, deepl.TextResult)
    assert found.text.startswith("<p>rot Haus</p><script>red house</script><p class='x'>eins")
    assert "<b>grün</b>" in found.text
    assert found.text.endswith("</p>")


@pytest.mark.parametrize("tags", [["keep", "x"], "keep,x"])
@pytest.mark.parametrize("kind", ["json", "data"])
def test_elements_that_are_ignored(babel: Service, kind: str, tags: Any) -> None:
    text = "<par>red <x>house</x></par><keep>red house</keep>"
    body = {"text": text, "source_lang": "EN", "target_lang": "DE", "tag_handling": "xml", "ignore_tags": tags}
    options: dict[str, Any] = {kind: body}
    found = babel.client.post("/v2/translate", **options).json()["translations"][0]["text"]
    assert "<x>house</x>" in found
    assert "<keep>red house</keep>" in found
    assert "rot" in found


def test_hints_are_taken(client: deepl.DeepLClient) -> None:
    found = client.translate_text(
        "red house", source_lang="EN", target_lang="DE", context="a street", formality="prefer_more",
        split_sentences="nonewlines", preserve_formatting=True, model_type="prefer_quality_optimized",
    )  # fmt: skip
    assert isinstance(found, deepl.TextResult)
    assert found.text == "rot Haus"


@pytest.mark.parametrize("kind", ["json", "data"])
def test_without_being_asked_no_characters_are_billed(babel: Service, kind: str) -> None:
    options: dict[str, Any] = {kind: ASK | {"text": ["red house", "dog"], "tag_handling_version": "v2"}}
    assert babel.client.post("/v2/translate", **options).json() == {
        "translations": [
            {"detected_source_language": "EN", "text": "rot Haus"},
            {"detected_source_language": "EN", "text": "Hund"},
        ]
    }


def test_a_form_has_numbers_for_booleans(babel: Service) -> None:
    body = {"text": "red house", "target_lang": "de", "show_billed_characters": "1", "outline_detection": "0"}
    found = babel.client.post("/v2/translate", data=body).json()["translations"]
    assert found == [{"detected_source_language": "EN", "text": "rot Haus", "billed_characters": 9}]


def test_the_type_of_languages(babel: Service) -> None:
    sources = babel.client.get("/v2/languages").json()
    assert sources == [{"language": "DE", "name": "German"}, {"language": "EN", "name": "English"}]
    assert babel.client.get("/v2/languages", params={"type": "source"}).json() == sources
    targets = babel.client.get("/v2/languages", params={"type": "target"}).json()
    assert targets[0] == {"language": "DE", "name": "German", "supports_formality": False}
    assert_error(babel.client.get("/v2/languages", params={"type": "other"}), 400)


@pytest.mark.parametrize(
    "body",
    [
        {"text": ["dog"]}, {"target_lang": "DE"}, ASK | {"text": 5}, ASK | {"text": ["dog", 5]}, ASK | {"text": ""},
        ASK | {"text": []}, ASK | {"tag_handling": "pdf"}, ASK | {"source_lang": "FR"}, ASK | {"target_lang": ""},
        ASK | {"show_billed_characters": "1"}, ASK | {"formality": "less"}, ASK | {"ignore_tags": [5]}, [], None,
    ],
)  # fmt: skip
def test_wrong_bodies(babel: Service, body: Any) -> None:
    assert_error(babel.post("/v2/translate", body), 400)


def test_the_first_wrong_tag_is_told_alone(babel: Service) -> None:
    said = babel.post("/v2/translate", ASK | {"ignore_tags": [5] * 50_000}).json()["message"]
    assert said.count("Input should be") == 1


def test_the_paths_beside_are_the_open_inference_protocols(babel: Service) -> None:
    assert assert_error(babel.client.post("/v2/document"), 404)
    assert assert_error(babel.client.get("/v2/translate"), 405)
    assert babel.client.get("/v2/nothing").json().keys() == {"error"}
    assert babel.client.get("/v2/translated").json().keys() == {"error"}
    assert babel.client.get("/v2/health/live").json() == {"live": True}

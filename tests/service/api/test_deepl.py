"""DeepL's dialect: the official client against a running service, and forms as older clients send them."""

from typing import Any

import deepl
import httpx
import pytest

from tests.service.conftest import Service

BODY = {"text": ["red house"], "source_lang": "EN", "target_lang": "DE"}


def assert_error(response: httpx.Response, status: int) -> str:
    """Check an error in the dialect's format, and return its message."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"message"}
    message: str = body["message"]
    assert len(message) < 1000
    return message


@pytest.fixture
def client(bilingual: Service) -> deepl.DeepLClient:
    return deepl.DeepLClient("any key", server_url=bilingual.url)


def test_official_client_translates(client: deepl.DeepLClient) -> None:
    one = client.translate_text("red house", source_lang="EN", target_lang="DE")
    assert isinstance(one, deepl.TextResult)
    assert (one.text, one.detected_source_lang, one.billed_characters) == ("rot Haus", "EN", 9)
    many = client.translate_text(["grün Vogel", "", "Hund"], source_lang="de", target_lang="EN-US")
    assert isinstance(many, list)
    assert [one.text for one in many] == ["green bird", "", "dog"]
    assert [one.billed_characters for one in many] == [10, 0, 4]


def test_official_client_lists_languages(client: deepl.DeepLClient) -> None:
    assert [(one.code, one.name) for one in client.get_source_languages()] == [("DE", "German"), ("EN", "English")]
    targets = client.get_target_languages()
    assert [(one.code, one.supports_formality) for one in targets] == [
        ("DE", False), ("EN-GB", False), ("EN-US", False),
    ]  # fmt: skip
    assert [one.name for one in targets] == ["German", "English (GB)", "English (US)"]


def test_official_client_reads_usage(client: deepl.DeepLClient) -> None:
    before = client.get_usage().character.count
    client.translate_text("red house", target_lang="DE")
    used = client.get_usage()
    assert used.character.valid
    assert not used.any_limit_reached
    assert used.character.count == (before or 0) + 9


def test_official_client_raises_errors(client: deepl.DeepLClient) -> None:
    with pytest.raises(deepl.DeepLException, match="Value for 'target_lang' not supported: 'FR'") as caught:
        client.translate_text("red house", target_lang="FR")
    assert caught.value.http_status_code == 400
    with pytest.raises(deepl.DeepLException, match="formality"):
        client.translate_text("red house", target_lang="DE", formality="more")
    with pytest.raises(deepl.DeepLException, match="glossary_id: not supported here"):
        client.translate_text("red house", source_lang="EN", target_lang="DE", glossary="some-id")
    with pytest.raises(deepl.DeepLException, match="Not Found"):
        client.list_glossaries()


def test_html_markup_is_preserved(client: deepl.DeepLClient) -> None:
    page = "<p>red house</p><script>red house</script><p class='x'>one <b>green</b> bird &amp; dog</p>"
    found = client.translate_text(page, source_lang="EN", target_lang="DE", tag_handling="html")
    assert isinstance(found, deepl.TextResult)
    assert found.text.startswith("<p>rot Haus</p><script>red house</script><p class='x'>eins")
    assert "<b>grün</b>" in found.text
    assert found.text.endswith("</p>")


@pytest.mark.parametrize("tags", [["keep", "x"], "keep,x"])
@pytest.mark.parametrize("kind", ["json", "data"])
def test_ignored_elements_are_not_translated(bilingual: Service, kind: str, tags: Any) -> None:
    text = "<par>red <x>house</x></par><keep>red house</keep>"
    body = {"text": text, "source_lang": "EN", "target_lang": "DE", "tag_handling": "xml", "ignore_tags": tags}
    options: dict[str, Any] = {kind: body}
    found = bilingual.client.post("/v2/translate", **options).json()["translations"][0]["text"]
    assert "<x>house</x>" in found
    assert "<keep>red house</keep>" in found
    assert "rot" in found


def test_options_without_effect_are_accepted(client: deepl.DeepLClient) -> None:
    found = client.translate_text(
        "red house", source_lang="EN", target_lang="DE", context="a street", formality="prefer_more",
        split_sentences="nonewlines", preserve_formatting=True, model_type="prefer_quality_optimized",
    )  # fmt: skip
    assert isinstance(found, deepl.TextResult)
    assert found.text == "rot Haus"


@pytest.mark.parametrize("kind", ["json", "data"])
def test_billed_characters_are_returned_only_on_request(bilingual: Service, kind: str) -> None:
    options: dict[str, Any] = {kind: BODY | {"text": ["red house", "dog"], "tag_handling_version": "v2"}}
    assert bilingual.client.post("/v2/translate", **options).json() == {
        "translations": [
            {"detected_source_language": "EN", "text": "rot Haus"},
            {"detected_source_language": "EN", "text": "Hund"},
        ]
    }


def test_booleans_in_a_form_are_numbers(bilingual: Service) -> None:
    body = {"text": "red house", "target_lang": "de", "show_billed_characters": "1", "outline_detection": "0"}
    found = bilingual.client.post("/v2/translate", data=body).json()["translations"]
    assert found == [{"detected_source_language": "EN", "text": "rot Haus", "billed_characters": 9}]


def test_languages_may_be_selected_by_type(bilingual: Service) -> None:
    sources = bilingual.client.get("/v2/languages").json()
    assert sources == [{"language": "DE", "name": "German"}, {"language": "EN", "name": "English"}]
    assert bilingual.client.get("/v2/languages", params={"type": "source"}).json() == sources
    targets = bilingual.client.get("/v2/languages", params={"type": "target"}).json()
    assert targets[0] == {"language": "DE", "name": "German", "supports_formality": False}
    assert_error(bilingual.client.get("/v2/languages", params={"type": "other"}), 400)


@pytest.mark.parametrize(
    "body",
    [
        {"text": ["dog"]}, {"target_lang": "DE"}, BODY | {"text": 5}, BODY | {"text": ["dog", 5]},
        BODY | {"text": []}, BODY | {"tag_handling": "pdf"}, BODY | {"source_lang": "FR"}, BODY | {"target_lang": ""},
        BODY | {"show_billed_characters": "1"}, BODY | {"formality": "less"}, BODY | {"ignore_tags": [5]}, [], None,
    ],
)  # fmt: skip
def test_invalid_bodies_are_rejected(bilingual: Service, body: Any) -> None:
    assert_error(bilingual.post("/v2/translate", body), 400)


def test_only_the_first_invalid_tag_is_reported(bilingual: Service) -> None:
    message = bilingual.post("/v2/translate", BODY | {"ignore_tags": [5] * 50_000}).json()["message"]
    assert message.count("Input should be") == 1


def test_other_v2_paths_use_the_open_inference_protocol(bilingual: Service) -> None:
    assert assert_error(bilingual.client.post("/v2/document"), 400)
    assert assert_error(bilingual.client.get("/v2/translate"), 405)
    assert bilingual.client.get("/v2/nothing").json().keys() == {"error"}
    assert bilingual.client.get("/v2/translated").json().keys() == {"error"}
    assert bilingual.client.get("/v2/health/live").json() == {"live": True}

"""DeepL's dialect: the official client against a running service, and forms as older clients send them."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import deepl
import httpx
import pytest

from tests.service.conftest import Service, eventually

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
def client(bilingual: Service) -> Iterator[deepl.DeepLClient]:
    with closing(deepl.DeepLClient("any key", server_url=bilingual.url)) as opened:
        yield opened


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
    before = client.get_usage()
    client.translate_text("red house", target_lang="DE")
    handle = client.translate_document_upload("dog", source_lang="EN", target_lang="DE", filename="a.txt")
    eventually(lambda: client.translate_document_get_status(handle).done)  # the client's own wait takes five seconds
    used = client.get_usage()
    assert used.character.valid
    assert not used.any_limit_reached
    assert used.character.count == (before.character.count or 0) + 12
    assert used.document.count == (before.document.count or 0) + 1


def test_official_client_raises_errors(client: deepl.DeepLClient) -> None:
    with pytest.raises(deepl.DeepLException, match="Value for 'target_lang' not supported: 'FR'") as caught:
        client.translate_text("red house", target_lang="FR")
    assert caught.value.http_status_code == 400
    with pytest.raises(deepl.DeepLException, match="Target language 'DE' doesn't support formality"):
        client.translate_text("red house", target_lang="DE", formality="more")
    with pytest.raises(deepl.DeepLException, match="Value for 'formality' not supported"):
        client.translate_text("red house", target_lang="DE", formality="rude")
    with pytest.raises(deepl.DeepLException, match="Value for 'split_sentences' not supported"):
        client.translate_text("red house", target_lang="DE", split_sentences="zz")
    with pytest.raises(deepl.DeepLException, match="Value for 'glossary_id' not supported"):
        client.translate_text("red house", source_lang="EN", target_lang="DE", glossary="some-id")


def test_html_markup_is_preserved(client: deepl.DeepLClient) -> None:
    page = "<p>red house</p><script>red house</script><p class='x'>one <b>green</b> bird &#8212; dog</p>"
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


@pytest.mark.parametrize("model_type", ["quality_optimized", "latency_optimized", "prefer_quality_optimized"])
def test_model_type_is_answered(client: deepl.DeepLClient, bilingual: Service, model_type: str) -> None:
    found = client.translate_text("red house", source_lang="EN", target_lang="DE", model_type=model_type)
    assert isinstance(found, deepl.TextResult)
    assert (found.text, found.model_type_used) == ("rot Haus", "quality_optimized")
    message = assert_error(bilingual.post("/v2/translate", BODY | {"model_type": "zz"}), 400)
    assert message == "Value for 'model_type' not supported."


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_blank_texts_are_returned(bilingual: Service, text: str) -> None:
    for options in ({"data": BODY | {"text": text}}, {"json": BODY | {"text": [text]}}):
        response = bilingual.client.post("/v2/translate", **options)  # type: ignore[arg-type]
        assert [one["text"] for one in response.json()["translations"]] == [text]


def test_language_codes_are_tags(bilingual: Service) -> None:
    for source, target in (("EN", "DE"), ("en-US", "de-AT"), ("en_GB", "deu")):
        body = BODY | {"source_lang": source, "target_lang": target}
        assert bilingual.post("/v2/translate", body).json()["translations"][0]["text"] == "rot Haus"


def test_languages_of_a_resource_are_listed(bilingual: Service) -> None:
    found = bilingual.client.get("/v3/languages", params={"resource": "translate_text"}).json()
    assert [(one["lang"], one["name"], one["usable_as_source"], one["usable_as_target"]) for one in found] == [
        ("de", "German", True, True), ("en", "English", True, True),
    ]  # fmt: skip
    assert bilingual.client.get("/v3/languages", params={"resource": "write"}).json() == []
    assert_error(bilingual.client.get("/v3/languages", params={"resource": "zz"}), 400)
    assert_error(bilingual.client.get("/v3/languages"), 400)


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


@pytest.mark.parametrize("shown", ["1", 1, True, "true", "0", 0, False, "false"])
def test_booleans_have_several_spellings(bilingual: Service, shown: Any) -> None:
    body = {"text": "red house", "target_lang": "de", "show_billed_characters": shown, "outline_detection": "0"}
    billed = {"billed_characters": 9} if shown in ("1", 1, "true") else {}
    kinds: list[dict[str, Any]] = [{"data": body}, {"json": body}]
    for options in kinds:
        found = bilingual.client.post("/v2/translate", **options).json()["translations"]
        assert found == [{"detected_source_language": "EN", "text": "rot Haus", **billed}]


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
        BODY | {"show_billed_characters": "2"}, BODY | {"formality": "less"}, BODY | {"ignore_tags": [5]}, [], None,
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

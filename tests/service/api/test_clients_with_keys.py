"""The public clients against a service that requires a key: each sends it in its own place and understands errors."""

import json
from urllib.error import HTTPError

import deepl
import httpx
import numpy as np
import pytest
from deep_translator import LibreTranslator
from deep_translator.exceptions import AuthorizationException
from libretranslatepy import LibreTranslateAPI
from tritonclient.http import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from tests.service.api.conftest import KEY, OTHER_KEY
from tests.service.conftest import Service, eventually


def test_libretranslatepy_sends_its_key(secured: Service) -> None:
    assert LibreTranslateAPI(secured.url, KEY).translate("red house", "en", "de") == "rot Haus"
    for key, status, message in (
        (None, 400, "Please contact the server operator to get an API key"), ("another", 403, "Invalid API key"),
    ):  # fmt: skip
        with pytest.raises(HTTPError) as caught:
            LibreTranslateAPI(secured.url, key).translate("red house", "en", "de")
        with caught.value as response:
            assert (response.code, json.load(response)) == (status, {"error": message})


def test_languages_are_listed_without_a_key(secured: Service) -> None:
    """Mastodon, Weblate, Discourse, Nextcloud and Dialect list them so; with an unknown key they are listed too."""
    for options in ({}, {"params": {"api_key": "another"}}, {"headers": {"Authorization": "Bearer another"}}):
        listed = secured.client.get("/languages", **options)  # type: ignore[arg-type]
        assert (listed.status_code, [one["code"] for one in listed.json()]) == (200, ["de", "en"])
    assert LibreTranslateAPI(secured.url).languages() == secured.client.get("/languages").json()


def test_deep_translator_sends_its_key(secured: Service) -> None:
    def client(key: str) -> LibreTranslator:
        return LibreTranslator(source="en", target="de", api_key=key, custom_url=f"{secured.url}/")

    assert client(KEY).translate("red house") == "rot Haus"
    with pytest.raises(AuthorizationException):
        client("another").translate("red house")


def test_deepl_sends_its_key(secured: Service) -> None:
    found = deepl.DeepLClient(KEY, server_url=secured.url).translate_text("red house", target_lang="DE")
    assert str(found) == "rot Haus"
    for ask in ("get_usage", "get_source_languages"):
        with pytest.raises(deepl.AuthorizationException, match="unknown API key"):
            getattr(deepl.DeepLClient("another", server_url=secured.url), ask)()


def test_triton_sends_its_key(secured: Service) -> None:
    client = InferenceServerClient(secured.url.removeprefix("http://"))
    texts = InferInput("text", [1], "BYTES").set_data_from_numpy(np.array([b"red house"], dtype=object))
    key = {"Authorization": f"Bearer {KEY}"}
    assert client.is_server_ready()
    assert client.infer("langid", [texts], headers=key).as_numpy("label").tolist() == [b"en"]
    with pytest.raises(InferenceServerException, match="no API key") as caught:
        client.infer("langid", [texts])
    assert caught.value.status() == "401"
    client.close()


@pytest.mark.parametrize(
    ("path", "body", "keys"),
    [("/predict", {"inputs": "red"}, {"error", "error_type"}), ("/classify", {"input": ["red"]}, {"error"})],
)
def test_http_clients_send_a_bearer_token(secured: Service, path: str, body: dict[str, object], keys: set[str]) -> None:
    assert secured.post(path, body, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    rejected: httpx.Response = secured.post(path, body)
    assert (rejected.status_code, rejected.json().keys()) == (401, keys)


def test_a_document_belongs_to_the_key_that_uploaded_it(secured: Service) -> None:
    client = deepl.DeepLClient(KEY, server_url=secured.url)
    handle = client.translate_document_upload("red house", source_lang="EN", target_lang="DE", filename="a.txt")
    eventually(lambda: client.translate_document_get_status(handle).done)
    other = deepl.DeepLClient(OTHER_KEY, server_url=secured.url)
    for call in (other.translate_document_get_status, other.translate_document_download):
        with pytest.raises(deepl.DeepLException, match="Not found"):
            call(handle)
    with pytest.raises(deepl.AuthorizationException):
        deepl.DeepLClient("another", server_url=secured.url).translate_document_get_status(handle)
    response = client.translate_document_download(handle)
    assert response is not None
    assert response.content == b"rot Haus"


def test_the_url_of_a_translated_file_needs_no_key_but_no_other_key_opens_it(secured: Service) -> None:
    fields = {"source": "en", "target": "de", "api_key": KEY}
    files = {"file": ("a.txt", b"red house")}
    assert secured.client.post("/translate_file", data=fields | {"api_key": ""}, files=files).status_code == 400
    assert secured.client.post("/translate_file", data=fields | {"api_key": "a"}, files=files).status_code == 403
    url = secured.client.post("/translate_file", data=fields, files=files).json()["translatedFileUrl"]
    assert secured.client.get(url).content == b"rot Haus"
    assert secured.client.get(url, headers={"X-API-Key": KEY}).content == b"rot Haus"
    assert secured.client.get(url, headers={"X-API-Key": OTHER_KEY}).status_code == 404
    assert secured.client.get(url, headers={"X-API-Key": "unknown"}).status_code == 403

"""The public clients at a service that needs a key: each sends it in its own place, and knows what a refusal is."""

from collections.abc import Iterator
from pathlib import Path
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

from service.engine.factory import start_pools
from service.http.api_keys import make_api_key
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import Service, serving

KEY, ENTRY = make_api_key("alice")


@pytest.fixture(scope="module")
def closed(english_and_german: Path) -> Iterator[Service]:
    """Between English and German, for who has the key."""
    settings, metrics = Settings(models=english_and_german, workers=1, threads=1, keys=ENTRY), Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as running:
        yield running


def test_libretranslatepy(closed: Service) -> None:
    assert LibreTranslateAPI(closed.url, KEY).translate("red house", "en", "de") == "rot Haus"
    with pytest.raises(HTTPError) as caught:
        LibreTranslateAPI(closed.url).translate("red house", "en", "de")
    with caught.value as response:
        assert (response.code, b'"error"' in response.read()) == (403, True)


def test_deep_translator(closed: Service) -> None:
    def client(key: str) -> LibreTranslator:
        return LibreTranslator(source="en", target="de", api_key=key, custom_url=f"{closed.url}/")

    assert client(KEY).translate("red house") == "rot Haus"
    with pytest.raises(AuthorizationException):
        client("another").translate("red house")


def test_deepl(closed: Service) -> None:
    found = deepl.DeepLClient(KEY, server_url=closed.url).translate_text("red house", target_lang="DE")
    assert str(found) == "rot Haus"
    for ask in ("get_usage", "get_source_languages"):
        with pytest.raises(deepl.AuthorizationException, match="unknown API key"):
            getattr(deepl.DeepLClient("another", server_url=closed.url), ask)()


def test_triton(closed: Service) -> None:
    client = InferenceServerClient(closed.url.removeprefix("http://"))
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
def test_plain_clients(closed: Service, path: str, body: dict[str, object], keys: set[str]) -> None:
    assert closed.post(path, body, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    refused: httpx.Response = closed.post(path, body)
    assert (refused.status_code, refused.json().keys()) == (401, keys)

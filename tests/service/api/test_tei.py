"""Text Embeddings Inference's dialect: huggingface_hub's client against a running service, and plain HTTP."""

import math
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from service.artifact import read_artifact
from service.text.tokenizer import TextCodec
from tests.service.api.conftest import KEY
from tests.service.conftest import ROOT, Service

WARM = {"warm", "cold", "none"}


def assert_error(response: httpx.Response, status: int, kind: str) -> str:
    """Check an error in the dialect's format, and return its message."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert body.keys() == {"error", "error_type"}
    assert body["error_type"] == kind
    message: str = body["error"]
    assert len(message) < 1000
    return message


def test_all_labels_are_returned_the_best_first(service: Service) -> None:
    found = service.post("/predict", {"inputs": "orange yellow"}).json()
    assert found[0]["label"] == "warm"
    assert {one["label"] for one in found} == WARM
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-4)
    native = service.post("/v1/classify", {"text": "orange yellow", "top_k": 3}).json()["results"][0]["labels"]
    assert found == [{"score": one["score"], "label": one["label"]} for one in native]


def test_batch_is_a_list_of_lists(service: Service) -> None:
    body = {"inputs": [["orange yellow"], ["cyan"]], "truncate": False, "raw_scores": False}
    found = service.post("/predict", body).json()
    assert [one[0]["label"] for one in found] == ["warm", "cold"]
    assert service.post("/predict", {"inputs": [["cyan"]]}).json() == [found[1]]
    assert service.post("/predict", {"inputs": ["cyan"]}).json() == found[1]


@pytest.mark.parametrize("inputs", [["orange", "cyan"], [["orange"], ["cyan", "blue"]], [["red", "cyan"]]])
def test_pair_of_texts_is_rejected(service: Service, inputs: Any) -> None:
    message = assert_error(service.post("/predict", {"inputs": inputs}), 422, "Validation")
    assert "pair" in message


@pytest.mark.parametrize(
    "inputs", [[], [[]], ["a", "b", "c"], [["a"], "b"], ["a", ["b"]], [["a"], []], [[["a"]]], 5, None]
)
def test_invalid_inputs_are_rejected(service: Service, inputs: Any) -> None:
    assert_error(service.post("/predict", {"inputs": inputs}), 422, "Validation")


def test_raw_scores_are_logits(service: Service) -> None:
    """Softmax of them gives the probabilities, which is what logits are for."""
    body = {"inputs": [["orange yellow"], ["cyan"]]}
    raws, scores = (service.post("/predict", body | {"raw_scores": raw}).json() for raw in (True, False))
    for raw, scored in zip(raws, scores, strict=True):
        powers = [math.exp(one["score"]) for one in raw]
        assert [one["label"] for one in raw] == [one["label"] for one in scored]
        assert [one / sum(powers) for one in powers] == pytest.approx([one["score"] for one in scored], abs=1e-6)


def test_texts_are_cut_only_on_request(service: Service) -> None:
    texts = {"Right": "orange " * 60 + "cyan " * 60, "left": "cyan " * 60 + "orange " * 60}
    for direction, text in texts.items():
        body = {"inputs": text, "truncate": True, "truncation_direction": direction}
        assert service.post("/predict", body).json()[0]["label"] == "warm"
        assert "at most 48" in assert_error(service.post("/predict", body | {"truncate": False}), 413, "Validation")
        long = {"inputs": text * 40, "truncate": True, "truncation_direction": direction}  # more than a text may have
        assert service.post("/predict", long).json() == service.post("/predict", body).json()


def test_blank_texts_are_classified_and_empty_ones_rejected(service: Service) -> None:
    for text in (" ", "\n\t"):
        assert {one["label"] for one in service.post("/predict", {"inputs": text}).json()} == WARM
    for inputs in ("", [""], [["dog"], [""]]):
        message = assert_error(service.post("/predict", {"inputs": inputs}), 400, "Empty")
        assert message == "`inputs` cannot be empty"


def test_other_paths_classify_too(service: Service) -> None:
    body = {"inputs": [["orange yellow"], ["cyan"]]}
    expected = service.post("/predict", body).json()
    for path in ("/", "/invocations"):
        assert service.post(path, body).json() == expected
        assert_error(service.post(path, {"inputs": ["a", "b"]}), 422, "Validation")
        assert_error(service.client.put(path), 405, "Validation")
    assert service.client.get("/").headers["content-type"].startswith("text/html")  # the page for people


@pytest.mark.parametrize("path", ["/embed", "/embed_all", "/embed_sparse", "/similarity", "/rerank"])
def test_routes_for_other_kinds_of_models_are_refused(service: Service, path: str) -> None:
    assert assert_error(service.post(path, {"inputs": "dog"}), 424, "Backend").startswith("Model is not a")
    assert_error(service.client.get(path), 405, "Validation")
    assert_error(service.post("/vertex", {"instances": []}), 404, "Validation")


def test_ping_has_no_body(service: Service) -> None:
    response = service.client.get("/ping")
    assert (response.status_code, response.content) == (200, b"")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub send requests, here to a service on this machine; it gives a model's URL no token."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("hub")
def test_inference_client_classifies_and_translates(bilingual: Service) -> None:
    client = InferenceClient(model=bilingual.url, token="any")
    best = client.text_classification("green bird")
    assert (best.label, best.score > 0.5) == ("en", True)  # type: ignore[attr-defined]  # of one text, as from TEI
    ranked = client.text_classification(["green bird"], top_k=2)  # type: ignore[arg-type]
    assert ranked == best
    found = client.translation("red house", src_lang="en", tgt_lang="de")
    assert found.translation_text == "rot Haus"
    found = client.translation("rot Haus", src_lang="de_DE", tgt_lang="eng_Latn", truncation="longest_first")
    assert found.translation_text == "red house"
    for options in ({"tgt_lang": "fr"}, {"tgt_lang": "de", "generate_parameters": {"num_beams": 4}}):
        with pytest.raises(HfHubHTTPError):
            client.translation("red house", src_lang="en", **options)
    with pytest.raises(HfHubHTTPError, match="`inputs` cannot be empty"):
        client.text_classification("")


@pytest.mark.usefixtures("hub")
def test_inference_client_sends_its_key(secured: Service) -> None:
    with pytest.raises(HfHubHTTPError, match="401"):
        InferenceClient(model=secured.url, token="another").text_classification("green bird")
    assert InferenceClient(model=secured.url, token=KEY).text_classification("green bird").label == "en"  # type: ignore[attr-defined]
    assert_error(secured.post("/", {"inputs": "green bird"}), 401, "Validation")
    assert secured.client.get("/ping").status_code == 200


def test_texts_are_tokenised_and_decoded(service: Service) -> None:
    texts = ["orange Ä", "cyan"]
    first, second = service.post("/tokenize", {"inputs": texts}).json()
    assert [one["special"] for one in first] == [True, *[False] * (len(first) - 1)]
    assert (first[0]["text"], first[0]["start"]) == ("<bos>", None)
    for text, tokens in zip(texts, (first, second), strict=True):
        encoded = text.encode()
        for token in tokens[1:]:
            assert encoded[token["start"] : token["stop"]].decode() == token["text"]
    assert service.post("/tokenize", {"inputs": "cyan", "add_special_tokens": False}).json() == [second[1:]]
    ids = [one["id"] for one in second]
    assert service.post("/decode", {"ids": ids}).json() == ["cyan"]
    assert service.post("/decode", {"ids": [ids[1:], ids]}).json() == ["cyan", "cyan"]
    assert service.post("/decode", {"ids": ids, "skip_special_tokens": False}).json() == ["<bos> cyan"]


def test_characters_are_decoded_with_their_spaces() -> None:
    artifact = read_artifact(ROOT / "models" / "intents")  # its tokenizer has no decoder
    codec = TextCodec(artifact.tokenizer, artifact.manifest)
    [ids] = codec.encode(["Set an alarm"], [artifact.manifest.special_tokens.bos], append_eos=False)
    assert codec.decode_source(ids, skip_special_tokens=True).strip() == "set an alarm"
    assert codec.decode_source(ids, skip_special_tokens=False).startswith("<bos>")


@pytest.mark.parametrize("ids", [5, None, [True], [1.5], ["a"], [[1], 2], [1, [2]], [10**30], [-1], [99_999], {}])
def test_ids_that_are_not_of_the_vocabulary_are_rejected(service: Service, ids: Any) -> None:
    assert "ids" in assert_error(service.post("/decode", {"ids": ids}), 422, "Validation")


def test_empty_inputs_of_the_tokenizer_are_rejected(service: Service) -> None:
    for path, body in (("/decode", {"ids": []}), ("/decode", {"ids": [[1], []]}), ("/tokenize", {"inputs": ""})):
        assert_error(service.post(path, body), 400, "Empty")
    assert_error(service.post("/decode", {"ids": [[4]] * 300}), 413, "Validation")
    assert_error(service.post("/tokenize", {"inputs": "a", "prompt_name": "query"}), 422, "Validation")


def test_long_text_is_cut_on_request(service: Service) -> None:
    mixed = {"inputs": "red " * 46 + "blue " * 60, "truncate": True}
    sides = [service.post("/predict", mixed | {"truncation_direction": side}).json() for side in ("Right", "Left")]
    assert [found[0]["label"] for found in sides] == ["warm", "cold"]
    found = service.post("/predict", {"inputs": "red " * 60, "truncate": True}).json()
    native = service.post("/v1/classify", {"text": "red " * 60, "truncate": True}).json()
    assert found[0]["label"] == native["results"][0]["labels"][0]["label"] == "warm"
    assert native["usage"]["source_tokens"] == 48


def test_info_describes_the_classifier(service: Service) -> None:
    info = service.client.get("/info").json()
    assert info["model_id"] == info["served_model_name"] == "toy-classifier"
    classifier = info["model_type"]["classifier"]
    assert set(classifier["label2id"]) == WARM
    assert {classifier["id2label"][str(i)] for i in classifier["label2id"].values()} == WARM
    assert (info["max_input_length"], info["max_client_batch_size"]) == (48, 256)
    assert service.client.get("/info", params={"model": "toy-classifier"}).json() == info
    assert_error(service.client.get("/info", params={"model": "nothing"}), 404, "Validation")
    assert_error(service.post("/predict", {"inputs": "dog", "model": "toy-translator"}), 404, "Validation")

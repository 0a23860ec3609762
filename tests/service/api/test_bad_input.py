"""Bad input in every foreign dialect: a correct answer, or an error in the dialect's format; never a 500.

During each test, another client sends plain requests in every dialect and must get the usual answers.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.service.api.native.test_bad_input import STRANGE
from tests.service.conftest import Service

PLAIN = "one red house"
Body = dict[str, Any]


@dataclass(frozen=True)
class Dialect:
    """The format of one dialect's requests, responses and errors."""

    path: str
    body: Callable[[Any], Body]  # a request body, from a text or a list of texts
    answers: Callable[[Any], list[Any]]  # the answers in the response to a list
    error: Callable[[Any], str]  # the message of an error; fails if it has another format
    wrong: int  # the status of an invalid request
    unknown: Body  # a request body for an unknown model or language
    missing: int  # the status of the response to it
    blank: bool = False  # whether blank texts are answered
    too_large: int = 413  # the status of too many or too long texts


def message_of(body: Any, *keys: str) -> str:
    assert body.keys() == set(keys)
    message: str = body[keys[0]]
    return message


def tensor(texts: Any) -> Body:
    count = len(texts) if isinstance(texts, list) else 1
    return {"inputs": [{"name": "text", "shape": [count], "datatype": "BYTES", "data": texts}]}


DIALECTS = {
    "libretranslate": Dialect(
        "/translate", lambda q: {"q": q, "source": "en", "target": "de"}, lambda reply: reply["translatedText"],
        lambda body: message_of(body, "error"), 400, {"q": PLAIN, "source": "en", "target": "xx"}, 400, blank=True,
        too_large=400,
    ),
    "libretranslate-detect": Dialect(
        "/detect", lambda q: {"q": q[-1] if isinstance(q, list) and q else q}, lambda reply: [reply],
        lambda body: message_of(body, "error"), 400, {}, 400, blank=True, too_large=400,
    ),
    "deepl": Dialect(
        "/v2/translate", lambda text: {"text": text, "target_lang": "DE", "source_lang": "EN"},
        lambda reply: [one["text"] for one in reply["translations"]], lambda body: message_of(body, "message"), 400,
        {"text": [PLAIN], "target_lang": "XX"}, 400, blank=True,
    ),
    "tei": Dialect(
        "/predict", lambda text: {"inputs": [[one] for one in text] if isinstance(text, list) else text},
        lambda reply: [one[0] for one in reply] if isinstance(reply[0], list) else [reply[0]],
        lambda body: message_of(body, "error", "error_type"), 422, {"inputs": PLAIN, "model": "nothing"}, 404,
        blank=True,
    ),
    "infinity": Dialect(
        "/classify", lambda text: {"input": text if isinstance(text, list) else [text]},
        lambda reply: [one[0] for one in reply["data"]],
        lambda body: message_of(body["error"], "message", "type", "param", "code"), 422,
        {"input": [PLAIN], "model": "nothing"}, 400, blank=True,
    ),
    "inference-translate": Dialect(
        "/v2/models/toy-translator/infer", lambda text: tensor(text) | {"parameters": {"source": "en", "target": "de"}},
        lambda reply: reply["outputs"][0]["data"], lambda body: message_of(body, "error"), 400,
        tensor([PLAIN]) | {"parameters": {"target": "xx"}}, 404,
    ),
    "inference-classify": Dialect(
        "/v2/models/langid/infer", tensor, lambda reply: reply["outputs"][0]["data"],
        lambda body: message_of(body, "error"), 400, tensor([PLAIN]) | {"outputs": [{"name": "logits"}]}, 400,
    ),
}  # fmt: skip
every_dialect = pytest.mark.parametrize("name", DIALECTS)


@pytest.fixture(scope="module")
def others() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(scope="module")
def expected(bilingual: Service) -> dict[str, Any]:
    """The answers of every dialect to plain texts."""
    found = {name: answers(bilingual, name, [PLAIN, "dog"]) for name in DIALECTS}
    assert found["libretranslate"] == found["deepl"] == found["inference-translate"] == ["eins rot Haus", "Hund"]
    return found


@pytest.fixture(autouse=True)
def _neighbour(bilingual: Service, others: ThreadPoolExecutor, expected: dict[str, Any]) -> Iterator[None]:
    sent = {name: others.submit(answers, bilingual, name, [PLAIN, "dog"]) for name in DIALECTS}
    yield
    assert {name: one.result() for name, one in sent.items()} == expected


def answers(bilingual: Service, name: str, texts: Any) -> list[Any]:
    dialect = DIALECTS[name]
    response = bilingual.post(dialect.path, dialect.body(texts))
    assert response.status_code == 200, response.text[:500]
    return dialect.answers(response.json())


def send(bilingual: Service, name: str, body: Any) -> httpx.Response:
    """Send a body as JSON; bytes are sent as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return bilingual.client.post(DIALECTS[name].path, content=content, headers={"Content-Type": "application/json"})


def assert_rejected(response: httpx.Response, name: str, *statuses: int) -> str:
    """Check an error in the dialect's format that quotes no large input, and return its message."""
    assert response.status_code in statuses, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert len(response.content) < 2000
    return DIALECTS[name].error(response.json())


@every_dialect
@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b'"text"', b"{}", b'{"q": NaN', b"\xff\xfe", b'{"q": "\xff"}']
)
def test_invalid_body_is_rejected(bilingual: Service, name: str, body: bytes) -> None:
    assert_rejected(send(bilingual, name, body), name, DIALECTS[name].wrong)


@every_dialect
@pytest.mark.parametrize(
    "body",
    [b'{"q": ' + b"[" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b'{"q": ' + b"9" * 10_000 + b"}"],
    ids=["deep list", "deep object", "long number"],
)
def test_unparsable_body_is_rejected(bilingual: Service, name: str, body: bytes) -> None:
    assert_rejected(send(bilingual, name, body), name, DIALECTS[name].wrong)


@every_dialect
@pytest.mark.parametrize("text", [5, None, True, {"a": "b"}, [5], [PLAIN, None], [[[5]]], [1] * 100_000])
def test_texts_of_the_wrong_type_are_rejected(bilingual: Service, name: str, text: Any) -> None:
    assert_rejected(send(bilingual, name, DIALECTS[name].body(text)), name, DIALECTS[name].wrong)


@every_dialect
@pytest.mark.parametrize("text", ["", " ", "\n\t\r ", "\u3000\u2028", [PLAIN, " "], []])
def test_blank_texts_are_rejected_or_kept(bilingual: Service, name: str, text: Any) -> None:
    dialect = DIALECTS[name]
    response = send(bilingual, name, dialect.body(text))
    if dialect.blank and (text or (text == "" and name in ("deepl", "infinity"))):
        kept = dialect.answers(response.json())
        assert name in ("libretranslate-detect", "tei", "infinity") or kept in (text, [text], ["eins rot Haus", " "])
    else:
        assert_rejected(response, name, dialect.wrong, 400)


@every_dialect
def test_body_of_ten_megabytes_is_rejected(bilingual: Service, name: str) -> None:
    message = assert_rejected(send(bilingual, name, DIALECTS[name].body(PLAIN + " " * 10_000_000)), name, 413)
    assert "above 1000000 bytes" in message


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "libretranslate-detect"])
def test_ten_thousand_texts_are_rejected(bilingual: Service, name: str) -> None:
    message = assert_rejected(
        send(bilingual, name, DIALECTS[name].body(["dog"] * 10_000)), name, DIALECTS[name].too_large
    )
    assert "10000" in message
    assert "256" in message


@every_dialect
def test_too_long_text_is_rejected(bilingual: Service, name: str) -> None:
    body = DIALECTS[name].body(["dog", "dog " * 6000])
    message = assert_rejected(send(bilingual, name, body), name, DIALECTS[name].too_large)
    assert "24000" in message
    assert "20000" in message


@pytest.mark.parametrize("name", [name for name in DIALECTS if DIALECTS[name].unknown])
def test_unknown_model_or_language_is_rejected(bilingual: Service, name: str) -> None:
    assert_rejected(send(bilingual, name, DIALECTS[name].unknown), name, DIALECTS[name].missing)


@every_dialect
@pytest.mark.parametrize("text", ["a \ud800 b", ["dog", "\udfff"], "\ude00\ud83d"])
def test_unpaired_surrogate_is_rejected(bilingual: Service, name: str, text: Any) -> None:
    message = assert_rejected(send(bilingual, name, DIALECTS[name].body(text)), name, DIALECTS[name].wrong)
    assert "surrogate" in message


@every_dialect
def test_unpaired_surrogate_in_bytes_is_rejected(bilingual: Service, name: str) -> None:
    bodies = [DIALECTS[name].body("half")]
    if name.startswith("inference"):
        bodies.append(DIALECTS[name].body("dog") | {"id": "half"})
    for body in bodies:
        content = json.dumps(body).encode().replace(b"half", b"\xed\xa0\x80")
        assert_rejected(send(bilingual, name, content), name, DIALECTS[name].wrong)


@every_dialect
@pytest.mark.parametrize("strange", STRANGE)
def test_any_unicode_is_answered_the_same_every_time(bilingual: Service, name: str, strange: str) -> None:
    text = STRANGE[strange]
    alone = answers(bilingual, name, [text])
    if name != "libretranslate-detect":
        assert answers(bilingual, name, [PLAIN, text, "dog"])[1] == alone[0]
    assert alone == answers(bilingual, name, [text])


@every_dialect
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "GET"])
def test_wrong_method_is_rejected(bilingual: Service, name: str, method: str) -> None:
    response = bilingual.client.request(method, DIALECTS[name].path)
    assert_rejected(response, name, 405)
    assert response.headers["allow"] == "OPTIONS, POST"


@every_dialect
def test_unknown_subpath_is_rejected(bilingual: Service, name: str) -> None:
    assert_rejected(bilingual.client.post(DIALECTS[name].path + "/nothing", json={}), name, 404)


@every_dialect
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "💥", "application/json; charset=\xff"])
def test_other_content_types_are_rejected_or_read(bilingual: Service, name: str, kind: str) -> None:
    body = json.dumps(DIALECTS[name].body([PLAIN])).encode()
    response = bilingual.client.post(DIALECTS[name].path, content=body, headers={b"Content-Type": kind.encode()})
    if response.status_code == 200:  # Triton's client sends no content type
        assert name.startswith("inference") or "json" in kind
    else:
        assert "send application/json" in assert_rejected(response, name, 415)

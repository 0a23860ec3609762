"""Bad input in every foreign dialect: a correct answer, or an error in the dialect's own shape; never a 500.

While each test asks strange things, a neighbour asks ordinary ones in the same dialect and gets the ordinary answers.
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

OK = "one red house"
Body = dict[str, Any]


@dataclass(frozen=True)
class Dialect:
    """How one dialect asks for texts, where its answers are, and what its errors look like."""

    path: str
    ask: Callable[[Any], Body]  # a body, from a text or a list of them
    answers: Callable[[Any], list[Any]]  # the answers in a reply to a list
    error: Callable[[Any], str]  # what an error says; fails where it has another shape
    wrong: int  # the status of an invalid request
    unknown: Body  # what asks for a model or a language that there is not
    missing: int  # and the status of that
    blank: bool = False  # whether blank texts in a list stay as they are


def only(body: Any, *keys: str) -> str:
    assert body.keys() == set(keys)
    said: str = body[keys[0]]
    return said


def tensor(texts: Any) -> Body:
    count = len(texts) if isinstance(texts, list) else 1
    return {"inputs": [{"name": "text", "shape": [count], "datatype": "BYTES", "data": texts}]}


DIALECTS = {
    "libretranslate": Dialect(
        "/translate", lambda q: {"q": q, "source": "en", "target": "de"}, lambda reply: reply["translatedText"],
        lambda body: only(body, "error"), 400, {"q": OK, "source": "en", "target": "xx"}, 400, blank=True,
    ),
    "libretranslate-detect": Dialect(
        "/detect", lambda q: {"q": q[-1] if isinstance(q, list) and q else q}, lambda reply: [reply],
        lambda body: only(body, "error"), 400, {}, 400,
    ),
    "deepl": Dialect(
        "/v2/translate", lambda text: {"text": text, "target_lang": "DE", "source_lang": "EN"},
        lambda reply: [one["text"] for one in reply["translations"]], lambda body: only(body, "message"), 400,
        {"text": [OK], "target_lang": "XX"}, 400, blank=True,
    ),
    "tei": Dialect(
        "/predict", lambda text: {"inputs": [[one] for one in text] if isinstance(text, list) else text},
        lambda reply: [one[0] for one in reply] if isinstance(reply[0], list) else [reply[0]],
        lambda body: only(body, "error", "error_type"), 422, {"inputs": OK, "model": "nothing"}, 404,
    ),
    "infinity": Dialect(
        "/classify", lambda text: {"input": text if isinstance(text, list) else [text]},
        lambda reply: [one[0] for one in reply["data"]],
        lambda body: only(body["error"], "message", "type", "param", "code"), 422,
        {"input": [OK], "model": "nothing"}, 400,
    ),
    "inference-translate": Dialect(
        "/v2/models/toy-translator/infer", lambda text: tensor(text) | {"parameters": {"source": "en", "target": "de"}},
        lambda reply: reply["outputs"][0]["data"], lambda body: only(body, "error"), 400,
        tensor([OK]) | {"parameters": {"target": "xx"}}, 404,
    ),
    "inference-classify": Dialect(
        "/v2/models/langid/infer", tensor, lambda reply: reply["outputs"][0]["data"], lambda body: only(body, "error"),
        400, tensor([OK]) | {"outputs": [{"name": "logits"}]}, 400,
    ),
}  # fmt: skip
every = pytest.mark.parametrize("name", DIALECTS)


@pytest.fixture(scope="module")
def others() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(scope="module")
def usual(babel: Service) -> dict[str, Any]:
    """What every dialect answers to an ordinary text."""
    found = {name: answers(babel, name, [OK, "dog"]) for name in DIALECTS}
    assert found["libretranslate"] == found["deepl"] == found["inference-translate"] == ["eins rot Haus", "Hund"]
    return found


@pytest.fixture(autouse=True)
def _neighbour(babel: Service, others: ThreadPoolExecutor, usual: dict[str, Any]) -> Iterator[None]:
    asked = {name: others.submit(answers, babel, name, [OK, "dog"]) for name in DIALECTS}
    yield
    assert {name: one.result() for name, one in asked.items()} == usual


def answers(babel: Service, name: str, texts: Any) -> list[Any]:
    dialect = DIALECTS[name]
    response = babel.post(dialect.path, dialect.ask(texts))
    assert response.status_code == 200, response.text[:500]
    return dialect.answers(response.json())


def send(babel: Service, name: str, body: Any) -> httpx.Response:
    """A body in JSON; bytes go out as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return babel.client.post(DIALECTS[name].path, content=content, headers={"Content-Type": "application/json"})


def assert_refused(response: httpx.Response, name: str, *statuses: int) -> str:
    """An error in the dialect's own shape that repeats no large input; what it says."""
    assert response.status_code in statuses, response.text[:500]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert len(response.content) < 2000
    return DIALECTS[name].error(response.json())


@every
@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b'"text"', b"{}", b'{"q": NaN', b"\xff\xfe", b'{"q": "\xff"}']
)
def test_what_is_no_body_of_the_dialect(babel: Service, name: str, body: bytes) -> None:
    assert_refused(send(babel, name, body), name, DIALECTS[name].wrong)


@every
@pytest.mark.parametrize(
    "body",
    [b'{"q": ' + b"[" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b'{"q": ' + b"9" * 10_000 + b"}"],
    ids=["deep list", "deep object", "long number"],
)
def test_what_cannot_be_parsed(babel: Service, name: str, body: bytes) -> None:
    assert_refused(send(babel, name, body), name, DIALECTS[name].wrong)


@every
@pytest.mark.parametrize("text", [5, None, True, {"a": "b"}, [5], [OK, None], [[[5]]], [1] * 100_000])
def test_texts_of_the_wrong_type(babel: Service, name: str, text: Any) -> None:
    assert_refused(send(babel, name, DIALECTS[name].ask(text)), name, DIALECTS[name].wrong)


@every
@pytest.mark.parametrize("text", ["", " ", "\n\t\r ", "\u3000\u2028", [OK, " "], []])
def test_nothing_to_read(babel: Service, name: str, text: Any) -> None:
    dialect = DIALECTS[name]
    response = send(babel, name, dialect.ask(text))
    if dialect.blank and text == [OK, " "]:
        assert dialect.answers(response.json())[1] == " "
    else:
        assert_refused(response, name, dialect.wrong, 400)


@every
def test_a_body_of_ten_megabytes(babel: Service, name: str) -> None:
    said = assert_refused(send(babel, name, DIALECTS[name].ask(OK + " " * 10_000_000)), name, 413)
    assert "above 1000000 bytes" in said


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "libretranslate-detect"])
def test_ten_thousand_texts(babel: Service, name: str) -> None:
    said = assert_refused(send(babel, name, DIALECTS[name].ask(["dog"] * 10_000)), name, 413)
    assert "10000 texts in one request; at most 256" in said


@every
def test_a_text_of_too_many_characters(babel: Service, name: str) -> None:
    said = assert_refused(send(babel, name, DIALECTS[name].ask(["dog", "dog " * 6000])), name, 413)
    assert "has 24000 characters; at most 20000" in said


@pytest.mark.parametrize("name", [name for name in DIALECTS if DIALECTS[name].unknown])
def test_a_model_or_language_that_there_is_not(babel: Service, name: str) -> None:
    assert_refused(send(babel, name, DIALECTS[name].unknown), name, DIALECTS[name].missing)


@every
@pytest.mark.parametrize("text", ["a \ud800 b", ["dog", "\udfff"], "\ude00\ud83d"])
def test_half_a_surrogate_pair(babel: Service, name: str, text: Any) -> None:
    said = assert_refused(send(babel, name, DIALECTS[name].ask(text)), name, DIALECTS[name].wrong)
    assert "surrogate" in said


@every
def test_half_a_surrogate_pair_in_bytes(babel: Service, name: str) -> None:
    bodies = [DIALECTS[name].ask("half")]
    if name.startswith("inference"):
        bodies.append(DIALECTS[name].ask("dog") | {"id": "half"})
    for body in bodies:
        content = json.dumps(body).encode().replace(b"half", b"\xed\xa0\x80")
        assert_refused(send(babel, name, content), name, DIALECTS[name].wrong)


@every
@pytest.mark.parametrize("strange", STRANGE)
def test_any_unicode_is_answered_and_always_alike(babel: Service, name: str, strange: str) -> None:
    text = STRANGE[strange]
    alone = answers(babel, name, [text])
    if name != "libretranslate-detect":
        assert answers(babel, name, [OK, text, "dog"])[1] == alone[0]
    assert alone == answers(babel, name, [text])


@every
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "GET", "OPTIONS"])
def test_the_wrong_method(babel: Service, name: str, method: str) -> None:
    response = babel.client.request(method, DIALECTS[name].path)
    assert_refused(response, name, 405)
    assert response.headers["allow"] == "POST"


@every
def test_a_path_below(babel: Service, name: str) -> None:
    assert_refused(babel.client.post(DIALECTS[name].path + "/nothing", json={}), name, 404)


@every
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "💥", "application/json; charset=\xff"])
def test_another_content_type(babel: Service, name: str, kind: str) -> None:
    body = json.dumps(DIALECTS[name].ask([OK])).encode()
    response = babel.client.post(DIALECTS[name].path, content=body, headers={b"Content-Type": kind.encode()})
    if response.status_code == 200:  # Triton's client sends no content type at all
        assert name.startswith("inference") or "json" in kind
    else:
        assert_refused(response, name, DIALECTS[name].wrong)

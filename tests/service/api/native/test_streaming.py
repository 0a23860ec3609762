"""Streams over a real server: events in order, the same text as without streaming, errors as events."""

import json
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service.engine.types import EngineRequest
from tests.service.conftest import TRANSLATE, Service, assert_problem, eventually
from tests.service.fakes import TIMEOUT, EchoEngine, Failing, HeldEngine

ServeFake = Callable[..., Service]
Events = list[tuple[str, dict[str, Any]]]
Json = dict[str, Any]
WARM_UP = 1


def parsed(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Parse Server-Sent Events, as far as the service uses the format."""
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
        else:
            assert line == ""


def events(service: Service, **body: Any) -> Events:
    with service.client.stream("POST", "/v1/translate", json=TRANSLATE | {"stream": True} | body) as response:
        if response.status_code != 200:
            response.read()
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        return list(parsed(response.iter_lines()))


def deltas(found: Events, index: int = 0) -> list[str]:
    return [data["delta"] for name, data in found if name == "delta" and data["index"] == index]


def steps(service: Service, text: str) -> int:
    """Return the number of steps that an echo engine takes."""
    [model] = service.registry
    [ids] = model.encode([text], model.direction("a", "b"))
    return len(ids)


def test_stream_has_deltas_translation_and_done(service: Service) -> None:
    plain = service.post("/v1/translate", TRANSLATE).json()
    found = events(service)
    assert "".join(deltas(found)) == plain["translations"][0]["text"] == "rot Haus"
    assert [name for name, _ in found][-2:] == ["translation", "done"]
    assert found[-2][1] == plain["translations"][0] | {"index": 0}
    assert found[-1][1].keys() == {"model", "usage", "timings_ms"}
    assert found[-1][1]["usage"] == plain["usage"]


def test_each_token_is_an_event(serve_fake: ServeFake) -> None:
    """The engine may run a step only after the client has read the previous token."""
    engine = HeldEngine()
    engine.allow(WARM_UP + 2)  # the direction token, and one more
    service, received = serve_fake(engine), []
    with service.client.stream("POST", "/v1/translate", json=TRANSLATE | {"stream": True}) as response:
        for name, data in parsed(response.iter_lines()):
            if name == "delta":
                received.append(data["delta"])
                engine.allow(1)
    assert len(received) == 2
    assert "".join(received) == "red house"


TEXTS = [
    "red house.\n\n - two dog!  ",
    "one {name} two. dog",
    "12:30",
    "RED HOUSE TWO DOG",
    "three four",
    " bird\n\n" * 30,
]


@pytest.mark.parametrize("options", [{}, {"beam_size": 3, "n_best": 2}, {"temperature": 0.7, "seed": 3}])
def test_stream_equals_the_plain_response(service: Service, options: dict[str, Any]) -> None:
    plain = service.post("/v1/translate", TRANSLATE | {"text": TEXTS} | options).json()
    found = events(service, text=TEXTS, **options)
    translations = [data for name, data in found if name == "translation"]
    assert translations == [one | {"index": i} for i, one in enumerate(plain["translations"])]
    for i, one in enumerate(plain["translations"]):
        assert "".join(deltas(found, i)) == one["text"]
    order = [data["index"] for _, data in found[:-1]]
    assert order == sorted(order)
    assert found[-1][1]["usage"] == plain["usage"]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("red house. two dog\n" * 130, {}),
        ("-----\n" * 20 + "red house. two {name} dog! \n\n" * 100, {"prefix": "Vogel", "include": ["alignment"]}),
        ("one two three. " * 150, {}),
        (["one red {x\n} dog.\n" * 130, "two"], {"beam_size": 2, "include": ["score"]}),
        ("- 12\n" * 500, {}),
    ],
)
def test_stream_of_long_texts_equals_the_plain_response(
    service: Service, text: str | list[str], options: dict[str, Any]
) -> None:
    plain = service.post("/v1/translate", TRANSLATE | {"text": text} | options).json()
    found = events(service, text=text, **options)
    translations = [data for name, data in found if name == "translation"]
    assert translations == [one | {"index": i} for i, one in enumerate(plain["translations"])]
    assert "".join(deltas(found)) == plain["translations"][0]["text"]
    assert found[-1][1]["usage"] == plain["usage"]


@pytest.mark.parametrize("text", TEXTS)
def test_stream_of_one_text_equals_the_plain_response(service: Service, text: str) -> None:
    plain = service.post("/v1/translate", TRANSLATE | {"text": text}).json()
    found = events(service, text=text)
    assert "".join(deltas(found)) == plain["translations"][0]["text"]


def test_html_is_streamed_block_by_block(service: Service) -> None:
    markup = "<h1>red house</h1>\n<p>one <b>dog</b>. two</p><hr>"
    plain = service.post("/v1/translate", TRANSLATE | {"text": markup, "format": "html"}).json()
    found = events(service, text=markup, format="html")
    assert "".join(deltas(found)) == plain["translations"][0]["text"]
    assert len(deltas(found)) == 3


def test_first_sentence_does_not_wait_for_the_others(serve_fake: ServeFake) -> None:
    engine = HeldEngine()
    engine.allow(WARM_UP)
    service = serve_fake(engine)
    engine.allow(steps(service, "dog bird."))
    body = TRANSLATE | {"stream": True, "text": "dog bird.\none two three four.\nred house dog."}
    with service.client.stream("POST", "/v1/translate", json=body) as response:
        reading = parsed(response.iter_lines())
        assert next(reading) == ("delta", {"index": 0, "delta": "dog bird."})
        engine.allow(1000)
        rest = list(reading)
    assert "".join(deltas(rest)) == "\none two three four.\nred house dog."


def test_error_before_the_first_event_has_its_status(service: Service) -> None:
    cases: list[tuple[Json, int, str]] = [
        ({"target": "xx"}, 404, "unknown_model"),
        ({"max_length": 10**6}, 413, "too_large"),
        ({"beam_size": 2, "temperature": 1.0}, 422, "invalid_request"),
        ({"stream": "yes"}, 422, "invalid_request"),
    ]
    for wrong, status, code in cases:
        assert_problem(service.post("/v1/translate", {**TRANSLATE, "stream": True, **wrong}), status, code)


def test_full_queue_is_an_error_before_the_stream_begins(serve_fake: ServeFake) -> None:
    service = serve_fake(EchoEngine(), queue_segments=2)
    queue = service.worker_pool().queue
    others = [EngineRequest([5, 6, 3]) for _ in range(4)]  # twice the limit, where nobody gets a share any more
    for request in others:
        queue._occupancy.add([request])  # no worker sees them, so they stay
    body = {**TRANSLATE, "stream": True, "text": "dog.\nbird."}
    assert_problem(service.post("/v1/translate", body), 503, "overloaded")
    for request in others:  # or the end of the service would wait for them
        queue._occupancy.remove(request)


def test_error_during_the_stream_is_an_event(serve_fake: ServeFake) -> None:
    service = serve_fake(EchoEngine(on_join=Failing(3)))  # joins: warm-up, the first sentence, the rest
    found = events(service, text="red house.\ntwo dog.\none bird.")
    assert [name for name, _ in found] == ["delta", "error"]
    assert found[1][1]["status"] == 500
    assert found[1][1]["code"] == "internal"
    assert len(found[1][1]["request_id"]) >= 10
    assert service.post("/v1/translate", TRANSLATE).status_code == 200


def test_deadline_during_the_stream_is_an_event(serve_fake: ServeFake) -> None:
    engine = HeldEngine()
    engine.allow(WARM_UP)
    service = serve_fake(engine, request_timeout_seconds=0.5)
    engine.allow(steps(service, "dog."))
    found = events(service, text="dog.\n" + "one two three four five one two three four five one two three.")
    assert [name for name, _ in found] == ["delta", "error"]
    assert found[1][1]["code"] == "deadline_exceeded"
    engine.allow(1000)
    eventually(lambda: service.idle)


def test_disconnect_stops_the_stream(serve_fake: ServeFake) -> None:
    engine = HeldEngine()
    engine.allow(WARM_UP)
    service = serve_fake(engine)
    engine.allow(steps(service, "dog."))
    url, body = httpx.URL(service.url), json.dumps(TRANSLATE | {"stream": True, "text": "dog.\n" + "one two. " * 20})
    head = f"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with socket.create_connection((url.host, url.port), timeout=TIMEOUT) as connection:
        connection.sendall(f"{head}\r\n\r\n{body}".encode())
        assert b"200 OK" in connection.recv(4096)
        eventually(lambda: len(engine.requests) > 1)
    eventually(lambda: all(engine_request.cancelled for engine_request in engine.requests))
    engine.allow(1)
    eventually(lambda: service.idle)


def test_stopping_service_ends_the_stream_with_an_error(
    serve_fake: ServeFake, caplog: pytest.LogCaptureFixture
) -> None:
    engine = HeldEngine()
    engine.allow(WARM_UP)
    service = serve_fake(engine, drain_timeout_seconds=0.05)  # the server rounds up to a second
    engine.allow(steps(service, "dog."))
    body = TRANSLATE | {"stream": True, "text": "dog.\none two three."}
    with service.client.stream("POST", "/v1/translate", json=body) as response:
        found = parsed(response.iter_lines())
        assert next(found)[0] == "delta"
        service.stop(signal.SIGTERM, None)
        [(name, data)] = list(found)
    assert (name, data["code"]) == ("error", "not_ready")
    engine.allow(1000)
    assert "Traceback" not in caplog.text

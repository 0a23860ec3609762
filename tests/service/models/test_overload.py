"""Overload, deadlines, disconnects and engine failures over HTTP, with engines that the test controls."""

import asyncio
import gc
import logging
import random
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.engine.types import EngineFailure, EngineRequest, FinishedRequest
from service.metrics import Metrics
from service.models.registry import Registry
from service.settings import Settings
from service.translation.document import DocumentTranslation
from tests.conftest import LEXICON
from tests.service.conftest import Service, assert_problem, eventually, fake_model
from tests.service.fakes import TIMEOUT, EchoEngine, Failing, HeldEngine

ServeFake = Callable[..., Service]
WARM_UP = 1  # steps of the warm-up


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def echo(service: Service, text: str | list[str]) -> httpx.Response:
    return service.post("/v1/translate", {"text": text, "source": "a", "target": "b"})


def translated_texts(response: "Future[httpx.Response]") -> list[str]:
    answer = response.result(TIMEOUT)
    assert answer.status_code == 200, answer.text
    return [translation["text"] for translation in answer.json()["translations"]]


def held_service(serve_fake: ServeFake, **settings: Any) -> tuple[Service, HeldEngine]:
    engine = HeldEngine()
    engine.allow(WARM_UP)
    return serve_fake(engine, **settings), engine


def test_every_caller_gets_its_own_answer(serve_fake: ServeFake, callers: ThreadPoolExecutor) -> None:
    service, generator = serve_fake(EchoEngine(), rows=8, encode_tokens=100), random.Random(1)
    words = list(LEXICON)
    requests = [
        [" ".join(generator.choices(words, k=generator.randint(1, 12))) for _ in range(generator.randint(1, 6))]
        for _ in range(40)
    ]
    answers = [callers.submit(echo, service, request) for request in requests]
    assert [translated_texts(answer) for answer in answers] == requests


def test_a_full_queue_rejects_a_request_at_once(serve_fake: ServeFake, callers: ThreadPoolExecutor) -> None:
    service, engine = held_service(serve_fake, rows=1, queue_segments=2)
    first = callers.submit(echo, service, "red house")
    engine.wait_for_step(WARM_UP + 1)
    second = callers.submit(echo, service, ["dog", "bird"])
    eventually(lambda: service.sample("waiting_segments", model="toy-translator") == 2)
    rejected = echo(service, "one")
    assert "2 segments waiting" in assert_problem(rejected, 503, "overloaded")["detail"]
    assert int(rejected.headers["retry-after"]) >= 1
    engine.allow(1000)
    assert (translated_texts(first), translated_texts(second)) == (["red house"], ["dog", "bird"])
    assert echo(service, "one").status_code == 200


def test_texts_are_not_segmented_for_a_full_queue(
    serve_fake: ServeFake, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, engine = held_service(serve_fake, rows=1, queue_segments=2)
    first = callers.submit(echo, service, "red house")
    engine.wait_for_step(WARM_UP + 1)
    second = callers.submit(echo, service, ["dog", "bird"])
    eventually(lambda: service.sample("waiting_segments", model="toy-translator") == 2)
    with monkeypatch.context() as patch:
        patch.delattr(DocumentTranslation, "segment")
        assert_problem(echo(service, ["one", "two"]), 503, "overloaded")
    engine.allow(1000)
    assert (translated_texts(first), translated_texts(second)) == (["red house"], ["dog", "bird"])


@pytest.mark.parametrize("limits", [{"queue_segments": 2}, {"queue_tokens": 12}])
def test_a_request_beyond_the_limits_of_an_empty_queue_is_too_large(
    serve_fake: ServeFake, limits: dict[str, int]
) -> None:
    service = serve_fake(EchoEngine(), **limits)
    assert "send several" in assert_problem(echo(service, ["red dog", "blue", "one two"]), 413, "too_large")["detail"]
    assert echo(service, "dog").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_texts_beyond_the_queue_limit_are_not_segmented(serve_fake: ServeFake, stream: bool) -> None:
    service = serve_fake(EchoEngine(), queue_segments=10)
    body = {"text": ["dog.\n" * 6] * 9, "target": "b", "stream": stream}
    problem = assert_problem(service.post("/v1/translate", body), 413, "too_large")
    assert problem["detail"].startswith("12 segments or more; model 'toy-translator' queues at most 10 segments")


def test_a_deadline_frees_rows_and_queue(serve_fake: ServeFake, callers: ThreadPoolExecutor) -> None:
    service, engine = held_service(serve_fake, rows=1, request_timeout_seconds=0.3)
    late = assert_problem(echo(service, ["red house", "dog"]), 504, "deadline_exceeded")
    assert "within 0.3 s" in late["detail"]
    engine.allow(1)
    eventually(lambda: service.idle)
    engine.allow(1000)
    assert translated_texts(callers.submit(echo, service, "bird")) == ["bird"]


def test_a_disconnect_frees_the_rows(serve_fake: ServeFake, caplog: pytest.LogCaptureFixture) -> None:
    service, engine = held_service(serve_fake, rows=2)
    url = httpx.URL(service.url)
    body = b'{"text": ["red house", "dog", "bird"], "target": "b"}'
    head = f"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with socket.create_connection((url.host, url.port), timeout=TIMEOUT) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        engine.wait_for_step(WARM_UP + 1)
        requests = list(engine.requests)
        assert not any(request.future.done() for request in requests)
    eventually(lambda: all(request.future.cancelled() for request in requests))
    engine.allow(1)
    eventually(lambda: service.idle)
    assert engine.entered == WARM_UP + 1  # no further step for it
    eventually(lambda: service.sample("requests_total", route="/v1/translate", method="POST", status="499") == 1)
    gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", ["on_step", "on_join"])
def test_an_engine_failure_is_an_internal_error_of_one_request(serve_fake: ServeFake, kind: str) -> None:
    service = serve_fake(EchoEngine(**{kind: Failing(2)}))  # the first call is the warm-up
    body = assert_problem(echo(service, "red house"), 500, "internal")
    assert "call 2" not in body["detail"]
    assert echo(service, "red house").json()["translations"][0]["text"] == "red house"
    assert service.client.get("/readyz").status_code == 200
    assert service.sample("engine_failures_total", model="toy-translator") == 1


class Confused(EchoEngine):
    """Answers requests that it was never given, after the warm-up."""

    def step(self) -> list[FinishedRequest]:
        warm = len(self.requests[0].ids) > 1
        finished = super().step()
        return [(EngineRequest([1]), outcome) for _, outcome in finished] if warm else finished


def test_a_dead_worker_makes_the_service_not_ready(serve_fake: ServeFake) -> None:
    service = serve_fake(Confused())
    assert service.client.get("/readyz").status_code == 200
    assert_problem(echo(service, "red house"), 500, "internal")
    red = service.client.get("/readyz")
    assert "toy-translator" in assert_problem(red, 503, "not_ready")["detail"]
    assert int(red.headers["retry-after"]) >= 1
    assert_problem(echo(service, "red house"), 503, "not_ready")
    assert service.client.get("/healthz").status_code == 200


def test_a_draining_service_answers_admitted_requests_and_admits_no_more(
    serve_fake: ServeFake, callers: ThreadPoolExecutor
) -> None:
    service, engine = held_service(serve_fake)
    admitted = callers.submit(echo, service, "red house")
    engine.wait_for_step(WARM_UP + 1)
    service.registry.drain(0)
    assert_problem(echo(service, "dog"), 503, "not_ready")
    assert_problem(service.client.get("/readyz"), 503, "not_ready")
    engine.allow(1000)
    assert translated_texts(admitted) == ["red house"]


def test_requests_unanswered_at_the_drain_timeout_fail_as_not_ready(
    serve_fake: ServeFake, callers: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    service, engine = held_service(serve_fake, drain_timeout_seconds=0.05)  # the server rounds up to a second
    admitted = callers.submit(echo, service, "red house")
    engine.wait_for_step(WARM_UP + 1)
    service.stop(signal.SIGTERM, None)
    assert "the service is stopping" in assert_problem(admitted.result(TIMEOUT), 503, "not_ready")["detail"]
    assert "Traceback" not in caplog.text
    engine.allow(1000)


def test_a_service_that_cannot_warm_up_does_not_start(toy_translator: Path) -> None:
    settings, metrics = Settings(), Metrics()
    registry = Registry([fake_model(toy_translator, EchoEngine(on_step=Failing(1)), settings, metrics)])
    app = create_app(settings, registry, metrics)

    async def start() -> None:
        async with app.router.lifespan_context(app):
            pytest.fail("it must not start")

    with pytest.raises(EngineFailure):
        asyncio.run(start())
    registry.drain(TIMEOUT)

"""Who may come in, asked over HTTP: keys in every place that a client puts them, limits, open paths, origins."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.types import Message

from service.http.api_keys import Keys, make_key, read_keys
from service.http.auth import OPEN, Authenticator
from service.http.rate_limit import RateLimiter
from service.settings import Settings
from tests.service.conftest import TRANSLATE, Service, assert_problem, eventually
from tests.service.fakes import PATIENCE, EchoEngine, HeldEngine
from tests.service.http.test_rate_limit import Clock

Pretend = Callable[..., Service]
(ALICE, ALICES), (BOB, BOBS) = make_key("alice"), make_key("bob")
KEYS = f"{ALICES} {BOBS}"
FIELDS = {"q": "dog", "target": "b", "api_key": ALICE}
PAGE = "https://page.example"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def closed(pretend: Pretend) -> Service:
    """A service that two keys open."""
    return pretend(EchoEngine(), keys=KEYS)


@pytest.mark.parametrize(
    "headers",
    [
        bearer(ALICE),
        {"Authorization": f"bearer   {ALICE}"},
        {"X-API-Key": ALICE},
        {"Authorization": f"DeepL-Auth-Key {ALICE}"},
        {"Authorization": "Basic cHJveHk6cHJveHk=", "X-API-Key": ALICE},
    ],
    ids=["bearer", "small letters", "x-api-key", "deepl", "beside what a proxy asks for"],
)
def test_a_key_opens(closed: Service, headers: dict[str, str]) -> None:
    assert closed.post("/v1/translate", TRANSLATE, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "no API key; send it as"),
        ({"Authorization": "Basic cHJveHk6cHJveHk="}, "no API key"),
        ({"Authorization": "Bearer"}, "not known here"),
        (bearer(ALICE[:-1]), "not known here"),
        (bearer(f"bob.{ALICE.partition('.')[2]}"), "not known here"),
        (bearer(ALICES), "not known here"),
        ({"X-API-Key": "\xff\xfe".encode("latin-1")}, "not known here"),
    ],
    ids=["none", "another scheme", "empty", "cut", "another's", "the entry", "bytes"],
)
def test_without_a_key_that_is_known_it_stays_closed(closed: Service, headers: Any, detail: str) -> None:
    response = closed.post("/v1/translate", TRANSLATE, headers=headers)
    assert detail in assert_problem(response, 401, "unauthorised")["detail"]
    assert response.headers["www-authenticate"] == "Bearer"
    assert ALICE.partition(".")[2] not in response.text
    assert closed.post("/v1/translate", TRANSLATE, headers=bearer(BOB)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/translate/", "/nothing", "/healthz/", "/docs/x"])
def test_what_is_not_open_is_closed(closed: Service, path: str) -> None:
    assert_problem(closed.client.get(path), 401, "unauthorised")


def test_probes_metrics_and_documentation_are_open(closed: Service) -> None:
    found = {path: closed.client.get(path).status_code for path in OPEN}
    assert {"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"} <= {p for p, s in found.items() if s == 200}
    assert 401 not in found.values()


def test_the_document_says_where_a_key_is_needed(closed: Service, service: Service) -> None:
    document = closed.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"].keys() == {"bearer", "header"}
    assert document["paths"]["/v1/translate"]["post"]["security"] == [{"bearer": []}, {"header": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]
    for path in document["paths"].keys() - OPEN:
        for route in document["paths"][path].values():
            assert {"408", "413", "429"} <= route["responses"].keys(), path
            assert {"401", "403"} & route["responses"].keys(), path
    assert "security" not in service.client.get("/openapi.json").text


@pytest.mark.parametrize(
    "request_",
    [
        {"json": FIELDS},
        {"data": FIELDS},
        {"files": {"q": (None, "dog"), "target": (None, "b"), "api_key": (None, ALICE)}},
        {"params": FIELDS},
    ],
    ids=["json", "form", "parts", "query"],
)
def test_the_key_among_libretranslates_fields(closed: Service, request_: dict[str, Any]) -> None:
    assert closed.client.post("/translate", **request_).status_code == 200
    assert_problem(closed.client.post("/v1/translate", **request_), 401, "unauthorised")


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"q": "dog"}},
        {"json": {"q": "dog", "api_key": "alice"}},
        {"json": {"q": "dog", "api_key": 7}},
        {"json": [ALICE]},
        {"content": b'{"api_key"', "headers": {"Content-Type": "application/json"}},
        {"content": b'{"api_key": "\\ud800"}', "headers": {"Content-Type": "application/json"}},
        {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
        {"content": b"\xff&api_key=%ff", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"content": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"data": {"api_key": ["a", "b"]}},
        {"content": b"api_key=" + ALICE.encode()},
        {},
    ],
    ids=[
        "none",
        "wrong",
        "a number",
        "a list",
        "cut",
        "surrogate",
        "deep",
        "bytes",
        "parts",
        "two",
        "untyped",
        "empty",
    ],
)
def test_fields_without_a_key_that_is_known(closed: Service, request_: dict[str, Any]) -> None:
    response = closed.client.post("/translate", **request_)
    assert (response.status_code, response.json().keys()) == (403, {"error"})  # as LibreTranslate says it


def test_libretranslates_settings_say_whether_a_key_is_needed(closed: Service, service: Service) -> None:
    for running, needed in ((closed, True), (service, False)):
        told = running.client.get("/frontend/settings").json()
        assert (told["apiKeys"], told["keyRequired"]) == (needed, needed)


def test_without_keys_everybody_is_served_whatever_key_they_send(service: Service) -> None:
    assert service.post("/v1/translate", TRANSLATE, headers=bearer("anything")).status_code == 200


def test_the_log_names_the_key_and_holds_neither_secret_nor_text(
    closed: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "attendant.access"):
        ask = {"headers": bearer(ALICE), "params": {"api_key": "hidden"}}
        closed.post("/v1/translate", {"text": "red house", "target": "b"}, **ask)
        closed.post("/v1/translate", TRANSLATE, headers=bearer("alice.wrong"))
        closed.client.get("/healthz")
        eventually(lambda: len(caplog.records) == 3)  # an answer is logged after it is sent
    lines = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" ")[2] for line in lines] == ["key=alice", "key=-", "key=-"]
    assert lines[0].startswith("POST /v1/translate 200")
    for secret in (ALICE.partition(".")[2], "wrong", "hidden", "red", "rot"):
        assert not [line for line in lines if secret in line]


def limited(pretend: Pretend, clock: Clock, keys: str | None = KEYS) -> Service:
    access = Authenticator(read_keys(Settings(keys=keys)), RateLimiter(per_minute=2, clock=clock))
    return pretend(EchoEngine(), access=access)


def test_each_key_has_its_own_requests_a_minute(pretend: Pretend) -> None:
    service = limited(pretend, clock := Clock())

    def ask(key: str) -> httpx.Response:
        return service.post("/v1/translate", TRANSLATE, headers=bearer(key))

    assert [ask(ALICE).status_code for _ in range(2)] == [200, 200]
    refused = ask(ALICE)
    detail = assert_problem(refused, 429, "rate_limited")["detail"]
    assert detail == "key alice asks more than 2 times a minute; try again in 30 s"
    assert refused.headers["retry-after"] == "30"
    assert ask(BOB).status_code == 200
    assert_problem(ask("alice.wrong"), 401, "unauthorised")  # costs alice nothing
    clock.now += 30
    assert ask(ALICE).status_code == 200


def test_anonymous_callers_are_told_apart_by_address_and_probes_are_never_refused(pretend: Pretend) -> None:
    service = limited(pretend, Clock(), keys=None)
    assert [service.post("/v1/translate", TRANSLATE).status_code for _ in range(2)] == [200, 200]
    detail = assert_problem(service.post("/v1/translate", TRANSLATE), 429, "rate_limited")["detail"]
    assert detail.startswith("address 127.0.0.1 asks more")
    assert [service.client.get("/readyz").status_code for _ in range(5)] == [200] * 5
    other = {"X-Forwarded-For": "10.1.2.3"}  # uvicorn trusts a proxy on this host
    assert service.post("/v1/translate", TRANSLATE, headers=other).status_code == 200


def test_so_many_requests_of_a_key_at_once(pretend: Pretend) -> None:
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = pretend(engine, keys=KEYS, concurrent_requests=1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(service.post, "/v1/translate", TRANSLATE, headers=bearer(ALICE))
        engine.wait_for_step(2)
        refused = service.post("/v1/translate", TRANSLATE, headers=bearer(ALICE))
        assert "key alice has 1 requests running" in assert_problem(refused, 429, "rate_limited")["detail"]
        assert refused.headers["retry-after"] == "1"
        other = pool.submit(service.post, "/v1/translate", TRANSLATE, headers=bearer(BOB))
        engine.allow(1000)
        assert [answer.result(PATIENCE).status_code for answer in (first, other)] == [200, 200]
    assert service.post("/v1/translate", TRANSLATE, headers=bearer(ALICE)).status_code == 200


def test_who_leaves_or_fails_makes_room(pretend: Pretend) -> None:
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = pretend(engine, concurrent_requests=1)
    with pytest.raises(httpx.ReadTimeout):
        service.post("/v1/translate", TRANSLATE, timeout=0.2)
    eventually(lambda: service.sample("requests_total", route="/v1/translate", method="POST", status="499") == 1)
    assert_problem(service.post("/v1/translate", {}), 422, "invalid_request")
    engine.allow(1000)
    assert service.post("/v1/translate", TRANSLATE).status_code == 200


def test_by_default_no_page_may_ask(service: Service) -> None:
    preflight = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    response = service.client.options("/v1/translate", headers=preflight)
    assert response.status_code == 405
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_pages_of_an_allowed_origin_may_ask_and_read_why_they_are_refused(pretend: Pretend) -> None:
    service = pretend(EchoEngine(), keys=KEYS, cors_origins=f"https://other.example, {PAGE}")
    preflight = {
        "Origin": PAGE, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-api-key",
    }  # fmt: skip
    asked = service.client.options("/v1/translate", headers=preflight)  # a browser sends no key with it
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert asked.headers["x-request-id"]
    for key, status in ((ALICE, 200), ("wrong", 401)):
        answer = service.post("/v1/translate", TRANSLATE, headers=bearer(key) | {"Origin": PAGE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, PAGE)
    stranger = service.post("/v1/translate", TRANSLATE, headers=bearer(ALICE) | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers


def test_without_an_address_callers_are_one() -> None:
    """As behind a Unix socket."""
    access = Authenticator(Keys(), RateLimiter(per_minute=1))
    scope = {"path": "/v1/models", "client": None}
    assert asyncio.run(access.enter(scope, {}, nothing)) == "the local caller"


async def nothing() -> Message:
    return {"type": "http.request"}

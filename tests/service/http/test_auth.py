"""Authentication over HTTP: keys in every place where clients send them, rate limits, public paths, CORS."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.errors import RateLimited
from service.http.api_keys import ApiKeys, make_api_key, read_api_keys
from service.http.auth import PUBLIC_PATHS, Authenticator
from service.http.rate_limit import RateLimiter
from service.http.start_page import LIVE_PATH
from service.settings import Settings
from tests.service.conftest import TRANSLATE, Service, assert_problem, eventually, serving_fake
from tests.service.fakes import TIMEOUT, EchoEngine, HeldEngine
from tests.service.http.test_rate_limit import Clock

ServeFake = Callable[..., Service]
(ALICE, ALICE_ENTRY), (BOB, BOB_ENTRY) = make_api_key("alice"), make_api_key("bob")
KEYS = f"{ALICE_ENTRY} {BOB_ENTRY}"
FIELDS = {"q": "dog", "target": "b", "api_key": ALICE}
ORIGIN = "https://page.example"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def secured(toy_translator: Path) -> Iterator[Service]:
    """A service with two API keys."""
    with serving_fake(toy_translator, EchoEngine(), keys=KEYS) as service:
        yield service


@pytest.mark.parametrize(
    "headers",
    [
        bearer(ALICE),
        {"Authorization": f"bearer   {ALICE}"},
        {"X-API-Key": ALICE},
        {"Authorization": f"DeepL-Auth-Key {ALICE}"},
        {"Authorization": "Basic cHJveHk6cHJveHk=", "X-API-Key": ALICE},
    ],
    ids=["bearer", "lower case", "x-api-key", "deepl", "beside a proxy's basic auth"],
)
def test_key_is_accepted_in_any_header(secured: Service, headers: dict[str, str]) -> None:
    assert secured.post("/v1/translate", TRANSLATE, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "no API key; send it as"),
        ({"Authorization": "Basic cHJveHk6cHJveHk="}, "no API key"),
        ({"Authorization": "Bearer"}, "unknown API key"),
        (bearer(ALICE[:-1]), "unknown API key"),
        (bearer(f"bob.{ALICE.partition('.')[2]}"), "unknown API key"),
        (bearer(ALICE_ENTRY), "unknown API key"),
        ({"X-API-Key": "\xff\xfe".encode("latin-1")}, "unknown API key"),
    ],
    ids=["none", "another scheme", "empty", "truncated", "another name", "the entry", "bytes"],
)
def test_missing_or_unknown_key_is_rejected(secured: Service, headers: Any, detail: str) -> None:
    response = secured.post("/v1/translate", TRANSLATE, headers=headers)
    assert detail in assert_problem(response, 401, "unauthorised")["detail"]
    assert response.headers["www-authenticate"] == "Bearer"
    assert ALICE.partition(".")[2] not in response.text
    assert secured.post("/v1/translate", TRANSLATE, headers=bearer(BOB)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/translate/", "/nothing", "/healthz/", "/docs/x"])
def test_other_paths_require_a_key(secured: Service, path: str) -> None:
    assert_problem(secured.client.get(path), 401, "unauthorised")


def test_probes_metrics_and_documentation_are_public(secured: Service) -> None:
    found = {path: secured.client.get(path).status_code for path in PUBLIC_PATHS - {LIVE_PATH}}
    with secured.client.stream("GET", LIVE_PATH) as live:  # without an end
        found[LIVE_PATH] = live.status_code
    assert {"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"} <= {p for p, s in found.items() if s == 200}
    assert 401 not in found.values()


def test_openapi_document_has_security_schemes(secured: Service, service: Service) -> None:
    document = secured.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"].keys() == {"bearer", "header"}
    assert document["paths"]["/v1/translate"]["post"]["security"] == [{"bearer": []}, {"header": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]
    for path in document["paths"].keys() - PUBLIC_PATHS:
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
def test_libretranslate_key_may_be_a_field(secured: Service, request_: dict[str, Any]) -> None:
    assert secured.client.post("/translate", **request_).status_code == 200
    assert_problem(secured.client.post("/v1/translate", **request_), 401, "unauthorised")


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
        "truncated",
        "surrogate",
        "deep",
        "bytes",
        "parts",
        "two",
        "untyped",
        "empty",
    ],
)
def test_field_without_a_known_key_is_rejected(secured: Service, request_: dict[str, Any]) -> None:
    response = secured.client.post("/translate", **request_)
    wrong = request_.get("json") == {"q": "dog", "api_key": "alice"}  # all others have no key that can be read
    status, message = (403, "Invalid API key") if wrong else (400, "Please contact the server operator")
    assert response.status_code == status
    assert response.json()["error"].startswith(message)  # LibreTranslate's words


def test_libretranslate_settings_show_whether_a_key_is_required(secured: Service, service: Service) -> None:
    for running, needed in ((secured, True), (service, False)):
        frontend = running.client.get("/frontend/settings").json()
        assert (frontend["apiKeys"], frontend["keyRequired"]) == (needed, needed)


def test_without_keys_every_caller_is_served(service: Service) -> None:
    assert service.post("/v1/translate", TRANSLATE, headers=bearer("anything")).status_code == 200


def test_log_has_the_name_of_the_key_but_no_secret_and_no_text(
    secured: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "attendant.access"):
        send = {"headers": bearer(ALICE), "params": {"api_key": "hidden"}}
        secured.post("/v1/translate", {"text": "red house", "target": "b"}, **send)
        secured.post("/v1/translate", TRANSLATE, headers=bearer("alice.wrong"))
        secured.client.get("/healthz")
        eventually(lambda: len(caplog.records) == 3)  # a response is logged after it is sent
    lines = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" ")[2] for line in lines] == ["key=alice", "key=-", "key=-"]
    assert lines[0].startswith("POST /v1/translate 200")
    for secret in (ALICE.partition(".")[2], "wrong", "hidden", "red", "rot"):
        assert not [line for line in lines if secret in line]


def limited(serve_fake: ServeFake, clock: Clock, keys: str | None = KEYS) -> Service:
    authenticator = Authenticator(read_api_keys(Settings(keys=keys)), RateLimiter(per_minute=2, clock=clock))
    return serve_fake(EchoEngine(), authenticator=authenticator)


def test_each_key_has_its_own_rate_limit(serve_fake: ServeFake) -> None:
    service = limited(serve_fake, clock := Clock())

    def send(key: str) -> httpx.Response:
        return service.post("/v1/translate", TRANSLATE, headers=bearer(key))

    assert [send(ALICE).status_code for _ in range(2)] == [200, 200]
    rejected = send(ALICE)
    detail = assert_problem(rejected, 429, "rate_limited")["detail"]
    assert detail == "key alice sends more than 2 requests a minute; try again in 30 s"
    assert rejected.headers["retry-after"] == "30"
    assert send(BOB).status_code == 200
    assert_problem(send("alice.wrong"), 401, "unauthorised")  # not counted for alice
    clock.now += 30
    assert send(ALICE).status_code == 200


def test_without_keys_rate_limits_are_per_address_and_never_apply_to_probes(serve_fake: ServeFake) -> None:
    service = limited(serve_fake, Clock(), keys=None)
    assert [service.post("/v1/translate", TRANSLATE).status_code for _ in range(2)] == [200, 200]
    detail = assert_problem(service.post("/v1/translate", TRANSLATE), 429, "rate_limited")["detail"]
    assert detail.startswith("address 127.0.0.1 sends more")
    assert [service.client.get("/readyz").status_code for _ in range(5)] == [200] * 5
    other = {"X-Forwarded-For": "10.1.2.3"}  # uvicorn trusts a proxy on this host
    assert service.post("/v1/translate", TRANSLATE, headers=other).status_code == 200


def test_concurrent_requests_of_a_key_are_limited(serve_fake: ServeFake) -> None:
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = serve_fake(engine, keys=KEYS, concurrent_requests=1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(service.post, "/v1/translate", TRANSLATE, headers=bearer(ALICE))
        engine.wait_for_step(2)
        rejected = service.post("/v1/translate", TRANSLATE, headers=bearer(ALICE))
        assert "key alice has 1 requests running" in assert_problem(rejected, 429, "rate_limited")["detail"]
        assert rejected.headers["retry-after"] == "1"
        other = pool.submit(service.post, "/v1/translate", TRANSLATE, headers=bearer(BOB))
        engine.allow(1000)
        assert [answer.result(TIMEOUT).status_code for answer in (first, other)] == [200, 200]
    assert service.post("/v1/translate", TRANSLATE, headers=bearer(ALICE)).status_code == 200


def test_disconnect_and_failure_end_a_request(serve_fake: ServeFake) -> None:
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = serve_fake(engine, concurrent_requests=1)
    with pytest.raises(httpx.ReadTimeout):
        service.post("/v1/translate", TRANSLATE, timeout=0.2)
    eventually(lambda: service.sample("requests_total", route="/v1/translate", method="POST", status="499") == 1)
    assert_problem(service.post("/v1/translate", {}), 422, "invalid_request")
    engine.allow(1000)
    assert service.post("/v1/translate", TRANSLATE).status_code == 200


def test_cors_is_off_by_default(service: Service) -> None:
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    response = service.client.options("/v1/translate", headers=preflight)
    assert (response.status_code, response.headers["allow"]) == (204, "OPTIONS, POST")
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_pages_of_an_allowed_origin_may_read_responses_and_errors(serve_fake: ServeFake) -> None:
    service = serve_fake(EchoEngine(), keys=KEYS, cors_origins=f"https://other.example, {ORIGIN}")
    preflight = {
        "Origin": ORIGIN, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-api-key",
    }  # fmt: skip
    asked = service.client.options("/v1/translate", headers=preflight)  # browsers send no key with a preflight
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert asked.headers["x-request-id"]
    for key, status in ((ALICE, 200), ("wrong", 401)):
        answer = service.post("/v1/translate", TRANSLATE, headers=bearer(key) | {"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, ORIGIN)
    for path in ("/v1/translate", "/translate"):  # without the setting, LibreTranslate's paths are open to all origins
        stranger = service.post(path, TRANSLATE, headers=bearer(ALICE) | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers


def test_callers_without_an_address_share_one_limit() -> None:
    """As on a Unix socket."""
    authenticator = Authenticator(ApiKeys(), RateLimiter(per_minute=1))
    assert authenticator.authenticate({"path": "/v1/models", "client": None}, None) == "the local caller"
    with pytest.raises(RateLimited, match="the local caller sends more"):
        authenticator.authenticate({"path": "/v1/models", "client": None}, None)

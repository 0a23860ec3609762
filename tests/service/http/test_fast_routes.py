"""Fast routes: the response is the same as through FastAPI's router."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response

from service.app import ERROR_FORMATS
from service.engine.factory import start_pools
from service.http.fast_routes import FastRoutesMiddleware
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import CLASSIFY, TRANSLATE, Service, assert_problem, serving

JSON, JSON_WITH_CHARSET = "application/json", "application/json; charset=utf-8"


def comparable(response: httpx.Response) -> tuple[int, str, Any]:
    """Status, media type and body, without what differs between any two responses."""
    media_type = response.headers["content-type"]
    if media_type.startswith("text/event-stream"):
        lines = response.text.splitlines()  # how many tokens a delta has depends on when they arrived
        return response.status_code, media_type, [s for s in lines if s and not re.search("timings_ms|delta", s)]
    body = response.json()
    return response.status_code, media_type, {k: v for k, v in body.items() if k not in ("timings_ms", "request_id")}


@pytest.fixture(scope="module")
def slow_service(toy_models: Path) -> Iterator[Service]:
    """The toy models behind FastAPI's router alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.app.FastRoutesMiddleware", lambda app, **_: app)
        settings, metrics = Settings(models=toy_models, workers=1, threads=1), Metrics()
        with serving(settings, load_models(settings, metrics, start_pools), metrics) as running:
            yield running


@pytest.mark.parametrize("content_type", [JSON, JSON_WITH_CHARSET, "application/problem+json", "text/plain", ""])
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/translate", json.dumps(TRANSLATE), 200),
        ("/v1/translate", json.dumps(TRANSLATE | {"stream": True}), 200),
        ("/v1/translate", json.dumps(TRANSLATE | {"text": ["dog", "red"], "beam_size": 2.0}), 200),
        ("/v1/translate", json.dumps(TRANSLATE | {"beam_size": "2"}), 422),
        ("/v1/translate", json.dumps(TRANSLATE | {"wdith": 2}), 422),
        ("/v1/translate", json.dumps(TRANSLATE | {"text": " "}), 422),
        ("/v1/translate", json.dumps(TRANSLATE | {"target": "zz"}), 404),
        ("/v1/translate", json.dumps(TRANSLATE | {"text": "\ud800"}), 422),
        ("/v1/classify", json.dumps(CLASSIFY), 200),
        ("/v1/classify", json.dumps(CLASSIFY | {"model": "none"}), 404),
        ("/v1/classify", json.dumps(CLASSIFY | {"top_k": 0}), 422),
        ("/v1/classify", "[]", 422),
        ("/v1/classify", "{", 422),
        ("/v1/classify", "", 422),
        ("/v1/classify", '{"text": "\xff"}', 422),
        ("/v1/classify", "[" * 100_000, 422),
        ("/v1/classify", '{"text": NaN}', 422),
        ("/v1/score", json.dumps(TRANSLATE | {"translation": "rot Haus"}), 200),
        ("/v1/score", json.dumps(TRANSLATE | {"translation": 5}), 422),
    ],
)
def test_response_is_that_of_the_router(
    service: Service, slow_service: Service, path: str, body: str, status: int, content_type: str
) -> None:
    content, headers = body.encode("latin-1"), {"Content-Type": content_type}
    fast, slow = (one.client.post(path, content=content, headers=headers) for one in (service, slow_service))
    assert fast.status_code == (status if "json" in content_type else 415)
    assert comparable(fast) == comparable(slow)


def test_other_methods_are_rejected(service: Service) -> None:
    response = service.client.request("PUT", "/v1/classify", content=b"{}", headers={"Content-Type": JSON})
    assert_problem(response, 405, "method_not_allowed")


def test_requests_are_counted_by_route(service: Service) -> None:
    labels = {"route": "/v1/classify", "method": "POST", "status": "200"}
    before = service.sample("requests_total", **labels)
    assert service.post("/v1/classify", CLASSIFY).status_code == 200
    assert service.sample("requests_total", **labels) == before + 1


@pytest.mark.parametrize(
    ("method", "path", "direct"),
    [("POST", "/ask", True), ("GET", "/ask", False), ("POST", "/ask/", False), ("POST", "/other", False)],
)
def test_only_exact_matches_skip_the_router(method: str, path: str, direct: bool) -> None:
    app, router = FastAPI(), APIRouter()

    @router.get("/other")
    @router.post("/ask")
    async def ask(request: Request) -> Response:
        return Response("fast_routes" if "router" not in request.scope else "router")

    app.include_router(router)
    app.add_middleware(FastRoutesMiddleware, routes=router.routes, error_formats=ERROR_FORMATS)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path)

    response = asyncio.run(send())
    assert (response.text == "fast_routes") == direct

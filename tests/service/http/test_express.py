"""The short way to an endpoint and FastAPI's own: what a caller reads is the same."""

import asyncio
import json
import re
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

from service.app import ERROR_FORMATS
from service.http.express import Express
from tests.service.conftest import CLASSIFY, TRANSLATE, Service, assert_problem

SHORT, LONG = "application/json", "application/json; charset=utf-8"  # the second kind is left to FastAPI


def told(response: httpx.Response) -> tuple[int, str, Any]:
    """Status, media type and body, without what is another in every answer."""
    kind = response.headers["content-type"]
    if kind.startswith("text/event-stream"):
        lines = response.text.splitlines()  # how many tokens a delta tells depends on when they came
        return response.status_code, kind, [line for line in lines if line and not re.search("timings_ms|delta", line)]
    body = response.json()
    return response.status_code, kind, {k: v for k, v in body.items() if k not in ("timings_ms", "request_id")}


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
    ],
)
def test_both_ways_say_the_same(service: Service, path: str, body: str, status: int) -> None:
    content = body.encode("latin-1")
    short, long = (service.client.post(path, content=content, headers={"Content-Type": c}) for c in (SHORT, LONG))
    assert short.status_code == status or assert_problem(short, 400, "invalid_request")
    assert told(short) == told(long)


def test_other_methods_are_refused_as_ever(service: Service) -> None:
    response = service.client.request("PUT", "/v1/classify", content=b"{}", headers={"Content-Type": SHORT})
    assert_problem(response, 405, "method_not_allowed")


def test_requests_are_counted_by_their_route(service: Service) -> None:
    labels = {"route": "/v1/classify", "method": "POST", "status": "200"}
    before = service.sample("requests_total", **labels)
    assert service.post("/v1/classify", CLASSIFY).status_code == 200
    assert service.sample("requests_total", **labels) == before + 1


def test_a_body_that_is_right_is_not_left_to_the_application() -> None:
    router = APIRouter()

    class Question(BaseModel):
        text: str

    @router.post("/ask")
    async def ask(request: Request, body: Annotated[Question, Body()]) -> Response:
        return Response(f"{request.url.path} {body.text}")

    left: list[bytes] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        left.append((await receive())["body"])

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    def ways(body: bytes, path: str = "/ask") -> int:
        """Send a body; how many came to the application so far."""
        scope = {
            "type": "http", "method": "POST", "path": path, "headers": [(b"content-type", b"application/json")],
            "server": ("x", 80), "scheme": "http", "query_string": b"",
        }  # fmt: skip

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        asyncio.run(Express(application, router, ["/ask"], ERROR_FORMATS)(scope, receive, send))
        return len(left)

    assert ways(b'{"text": "who?"}') == 0
    assert sent[1]["body"] == b"/ask who?"
    assert ways(b'{"text": 1}') == 1
    assert ways(b'{"text": "who?"}', "/other") == 2
    assert left == [b'{"text": 1}', b'{"text": "who?"}']

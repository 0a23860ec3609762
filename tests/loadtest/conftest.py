"""A real HTTP server that keeps the API contract or breaks it in one way, and the load test as a process.

The load test never runs in this process: locust patches the standard library for gevent when it is imported.
"""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

ROOT = Path(__file__).resolve().parents[2]
TIMINGS = {"queue": 0.5, "compute": 1.5, "total": 2.0}
MODELS: list[dict[str, Any]] = [
    {"name": "stub-de-en", "task": "translate", "directions": [{"source": "de", "target": "en"}]},
    {"name": "stub-labels", "task": "classify", "labels": ["long", "short"]},
]


class Stub:
    """Computes answers from the text alone; after `healthy_requests` requests, every fifth one shows the defect."""

    def __init__(self, defect: str = "", healthy_requests: int = 0, key: str | None = None) -> None:
        self.defect, self.healthy_requests, self.key, self.requests = defect, healthy_requests, key, 0
        self.last_text = "no text yet"
        self.bodies: list[dict[str, Any]] = []
        self.url = ""

    def is_defect_due(self) -> bool:
        self.requests += 1
        return bool(self.defect) and self.requests > self.healthy_requests and self.requests % 5 == 0

    async def answer(self, body: dict[str, Any], elements: str, element: Callable[[str], dict[str, Any]]) -> Response:
        await asyncio.sleep(0.002)
        self.bodies.append(body)
        defective = self.is_defect_due()
        if defective and self.defect == "500":
            problem = {"status": 500, "code": "internal"}
            return JSONResponse(problem, 500, media_type="application/problem+json")
        texts = body["text"] if isinstance(body["text"], list) else [body["text"]]
        answers = [element(text) for text in texts]
        if defective and self.defect == "misroute":
            answers[-1] = element(self.last_text)
        self.last_text = texts[0]
        tokens = sum(len(text.split()) for text in texts)
        usage = {"source_tokens": tokens, "target_tokens": 2 * tokens}
        return JSONResponse({"model": body["model"], elements: answers, "usage": usage, "timings_ms": TIMINGS})


def translation(text: str) -> dict[str, Any]:
    return {"text": text[::-1], "source": "de", "target": "en", "finish_reason": "stop"}


def labels(text: str) -> dict[str, Any]:
    score = 1 / (1 + len(text))
    return {"labels": [{"label": "long", "score": 1 - score}, {"label": "short", "score": score}]}


def stub_app(stub: Stub) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def check_key(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Like the service: `/readyz` needs no key, every other path does."""
        if stub.key is None or request.url.path == "/readyz":
            return await call_next(request)
        authenticated = request.headers.get("authorization") == f"Bearer {stub.key}"
        return await call_next(request) if authenticated else JSONResponse({"status": 401, "code": "unauthorised"}, 401)

    @app.get("/readyz")
    async def readyz() -> Response:
        return JSONResponse({}, 503 if stub.defect == "unready" else 200)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"models": MODELS}

    @app.post("/v1/translate")
    async def translate(body: dict[str, Any]) -> Response:
        return await stub.answer(body, "translations", translation)

    @app.post("/v1/classify")
    async def classify(body: dict[str, Any]) -> Response:
        return await stub.answer(body, "results", labels)

    return app


@pytest.fixture
def start_stub() -> Iterator[Callable[..., Stub]]:
    """Start servers on free loopback ports; they stop when the test ends."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(defect: str = "", healthy_requests: int = 0, key: str | None = None) -> Stub:
        stub = Stub(defect, healthy_requests, key)
        listener = socket.create_server(("127.0.0.1", 0))
        stub.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(stub_app(stub), log_level="error", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        running.append((server, thread))
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        return stub

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


def loadtest(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtest", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)

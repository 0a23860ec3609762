"""Services on free loopback ports, with the toy models or with fake engines."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import fastapi.dependencies.models
import httpx
import pytest
import uvicorn

from service.api.reload import Reloader
from service.app import create_app
from service.artifact import read_artifact, sha256
from service.engine.process.client import EngineProcess
from service.engine.queue import Queue
from service.engine.worker import Engine, LocalWorkerPool
from service.http.auth import Authenticator
from service.http.connection import AdmissionProtocol
from service.http.server import Server
from service.metrics import Metrics, ModelMetrics
from service.models.loading import load_models, pool_config
from service.models.registry import Registry
from service.models.scorer import PairScorer
from service.models.served_model import ServedModel
from service.settings import Settings
from service.text.tokenizer import TextCodec
from tests.service.fakes import TIMEOUT

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., "Process"]
TRANSLATE = {"text": "red house", "source": "a", "target": "b"}
CLASSIFY = {"text": "orange yellow"}


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    """Remove the settings of the shell that runs the tests, but for the device that they run on."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ATTENDANT_") and name != "ATTENDANT_DEVICE"]:
            patch.delenv(name)
        yield


@dataclass
class Service:
    """A running service, its parts, and a client."""

    settings: Settings
    registry: Registry
    metrics: Metrics
    url: str = ""
    grpc_port: int = 0  # where the settings ask for gRPC
    client: httpx.Client = field(init=False)
    stop: Callable[[int, None], None] = field(init=False)  # as a signal does
    reload: Callable[[], None] = field(init=False)  # as SIGHUP does, where models can be changed

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.client.post(path, json=body, **options)

    def worker_pool(self, name: str = "toy-translator") -> LocalWorkerPool:
        """Return a model's pool; fake engines run in a local one."""
        return cast(LocalWorkerPool, next(model.worker_pool for model in self.registry if model.name == name))

    @property
    def idle(self) -> bool:
        """Whether the translator has no waiting and no running request."""
        worker_pool = self.worker_pool()
        return not worker_pool.queue.waiting and not worker_pool.running

    def sample(self, series: str, **labels: str) -> float:
        """Return the value of a metric, 0 if it was not counted yet."""
        return self.metrics.registry.get_sample_value(f"attendant_{series}", labels) or 0.0


def eventually(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds; only for conditions that no event signals."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@contextmanager
def serving(
    settings: Settings,
    registry: Registry,
    metrics: Metrics,
    authenticator: Authenticator | None = None,
    connection: type[AdmissionProtocol] = AdmissionProtocol,
    reloader: Reloader | None = None,
) -> Iterator[Service]:
    """Run the application in uvicorn, in a thread."""
    service = Service(settings, registry, metrics)
    app = create_app(settings, registry, metrics, authenticator, reloader)
    options: dict[str, Any] = {"log_config": None, "access_log": False, "ws": "none", "lifespan": "on"}
    options["server_header"] = False
    server = Server(
        uvicorn.Config(app, port=0, http=connection, **options), app.state.admission, settings.lame_duck_seconds,
        settings.drain_timeout_seconds,
    )  # fmt: skip
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started or not thread.is_alive())
    assert server.started
    service.url = f"http://127.0.0.1:{server.listeners[0].getsockname()[1]}"
    service.stop = server.handle_exit
    if app.state.grpc_server:
        service.grpc_port = app.state.grpc_server.port
    try:
        with httpx.Client(base_url=service.url, timeout=TIMEOUT, verify=False) as service.client:
            yield service
    finally:
        server.should_exit = True
        thread.join(TIMEOUT)
        forget_endpoints()


def forget_endpoints() -> None:
    """Empty FastAPI's caches of endpoints, each of which keeps a whole application.

    With hundreds of services that have ended, every garbage collection of the next ones would take half a second.
    """
    for value in vars(fastapi.dependencies.models).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


@pytest.fixture(scope="session")
def service(toy_models: Path) -> Iterator[Service]:
    """A service with the toy models, the default settings and an engine process."""
    settings, metrics = Settings(models=toy_models, workers=1, threads=1), Metrics()
    with (
        EngineProcess() as engine,
        serving(settings, load_models(settings, metrics, engine.start_pools), metrics) as running,
    ):
        yield running


def fake_model(
    artifact: Path, engine: Engine, settings: Settings, metrics: Metrics, scoring: Engine | None = None
) -> ServedModel:
    """Return a served model with the tokenizer and the manifest of an artifact and a fake engine."""
    checked = read_artifact(artifact)
    codec, name = TextCodec(checked.tokenizer, checked.manifest), checked.manifest.name
    worker_pool, observer = fake_worker_pool(name, engine, settings, metrics)
    scorer = None
    if scoring is not None:
        scorer = PairScorer(checked.manifest, codec, *fake_worker_pool(f"{name}/score", scoring, settings, metrics))
    return ServedModel(checked, codec, worker_pool, observer, scorer)


def fake_worker_pool(
    name: str, engine: Engine, settings: Settings, metrics: Metrics
) -> tuple[LocalWorkerPool, ModelMetrics]:
    observer = metrics.of_model(name)
    worker_pool = LocalWorkerPool(name, [engine], Queue(pool_config(settings).limits), observer)
    metrics.watch(name, worker_pool)
    worker_pool.start()
    return worker_pool, observer


@contextmanager
def serving_fake(
    artifact: Path,
    engine: Engine,
    scoring: Engine | None = None,
    authenticator: Authenticator | None = None,
    connection: type[AdmissionProtocol] = AdmissionProtocol,
    **changes: Any,
) -> Iterator[Service]:
    """Run a service with a fake engine as translator."""
    settings, metrics = Settings(**changes), Metrics()
    registry = Registry([fake_model(artifact, engine, settings, metrics, scoring)])
    with serving(settings, registry, metrics, authenticator, connection) as service:
        yield service


@pytest.fixture
def serve_fake(toy_translator: Path) -> Iterator[Callable[..., Service]]:
    """Return a function that starts services with a fake engine as translator; they stop when the test ends."""
    stack = []

    def start(engine: Engine, *options: Any, **changes: Any) -> Service:
        context = serving_fake(toy_translator, engine, *options, **changes)
        stack.append(context)
        return context.__enter__()

    yield start
    for context in stack:
        context.__exit__(None, None, None)


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that a response has complete RFC 9457 problem details, and return them."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body.keys() - {"errors"} == {"type", "title", "status", "detail", "code", "request_id"}
    assert (body["status"], body["code"]) == (status, code)
    assert body["title"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert len(response.content) < 4000  # an error never quotes a large input
    return body


@dataclass
class Process:
    """A service process, started as a user does."""

    process: "subprocess.Popen[str]"
    url: str = ""
    grpc_port: int = 0  # where the settings ask for gRPC
    log: list[str] = field(default_factory=list)

    def read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"running on (http://\S+)", line):
                self.url = found[1]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)


def environment(models: Path, **settings: object) -> dict[str, str]:
    given = {"models": models, "port": 0, "threads": 1} | settings
    return os.environ | {f"ATTENDANT_{name.upper()}": str(value) for name, value in given.items()}


def limited(limit: str) -> list[str]:
    """Return the command that starts the service with a limit of the shell's `ulimit`, such as `-n 64`."""
    return ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh", sys.executable, "-m", "service"]


@pytest.fixture
def start(toy_models: Path) -> Iterator[Start]:
    """Return a function that starts a service process and waits until it is ready; it is stopped when the test ends."""
    running: list[tuple[Process, threading.Thread]] = []

    def start(
        models: Path = toy_models, limit: str = "", stdin: int = subprocess.DEVNULL, **settings: object
    ) -> Process:
        command = limited(limit) if limit else [sys.executable, "-m", "service"]
        options = {"env": environment(models, **settings), "stdin": stdin, "stderr": subprocess.PIPE, "text": True}
        service = Process(subprocess.Popen(command, cwd=ROOT, **options))  # type: ignore[call-overload]
        reader = threading.Thread(target=service.read_log)
        reader.start()
        running.append((service, reader))
        eventually(lambda: bool(service.url) or service.process.poll() is not None)
        assert service.url, "".join(service.log)
        return service

    yield start
    for service, reader in running:
        service.process.kill()
        service.process.wait()
        reader.join()
        assert service.process.stderr is not None
        service.process.stderr.close()


def corrupt(artifact: Path, file: str, content: bytes) -> Path:
    """Replace a file of an artifact, and its hash in the manifest."""
    (artifact / file).write_bytes(content)
    manifest = json.loads((artifact / "manifest.json").read_text("utf-8"))
    manifest["files"][file] = sha256(artifact / file)
    (artifact / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return artifact


def waiting(metrics: str) -> float:
    found = re.search(r'attendant_waiting_segments{model="toy-translator"} (\S+)', metrics)
    return float(found[1]) if found else 0.0

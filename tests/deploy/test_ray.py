"""Ray Serve answers like the service, replaces a replica that is killed, and adds one under load.

A file translated on a cluster has the lines that `service.bulk` writes, even if processes are killed meanwhile.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.common.processes import free_port
from loadtest.client import NotReadyError, Server
from tests.service.bulk.test_main import write_lines
from tests.service.conftest import environment

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = 150
CLIENTS = 120  # more than two replicas are to have at a time
MODEL = "intents"
TEXTS = [f"please set an alarm for {hour} o'clock" for hour in range(1, 11)]

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray[serve] is not installed")

DRIVER = """
import os, sys
import ray
from ray import serve
ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False, configure_logging=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
from deploy.ray.app import app
serve.run(app, name="attendant")
print("ready", flush=True)
sys.stdin.read()
serve.shutdown()
ray.shutdown()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two replicas that serve a shipped classifier."""
    models, port = tmp_path_factory.mktemp("models"), free_port()
    (models / MODEL).symlink_to(ROOT / "models" / MODEL)
    environment = os.environ | {
        "ATTENDANT_MODELS": str(models), "RAY_ATTENDANT_CPUS": "1", "RAY_ATTENDANT_MAX_REPLICAS": "3",
        "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(port)], cwd=ROOT, env=environment, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as driver:  # fmt: skip
        assert driver.stdout is not None
        assert any(line == "ready\n" for line in driver.stdout)  # Ray writes lines of its own
        yield Server(f"http://127.0.0.1:{port}")
        driver.communicate()


def actors(name: str) -> list[int]:
    """Return the processes of Ray's actors of a class."""
    found = []
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if status.read_bytes().startswith(f"ray::{name}".encode()):
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


def replicas() -> list[int]:
    return actors("ServeReplica")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def ask(server: Server, text: str) -> str:
    """Classify a text; try again until there is an answer."""
    deadline = time.monotonic() + 60
    while True:
        try:
            status, body = server.request("/v1/classify", {"text": text, "model": MODEL}, timeout=30)
            if status == 200:
                return str(json.loads(body)["results"][0]["labels"][0])
        except NotReadyError:
            status = 0
        assert time.monotonic() < deadline, f"no answer, last with status {status}"
        time.sleep(0.05)


def test_routes_are_those_of_the_service(server: Server) -> None:
    for path in ("/healthz", "/readyz", "/v1/models", "/openapi.json", "/metrics"):
        assert server.request(path)[0] == 200, path
    status, body = server.request("/v1/classify", {"text": "a", "model": "another"})
    assert (status, json.loads(body)["code"]) == (404, "unknown_model")


def test_a_killed_replica_costs_a_client_that_retries_nothing(server: Server) -> None:
    expected = {text: ask(server, text) for text in TEXTS}
    before = replicas()
    assert len(before) == 2
    for number in range(REQUESTS):
        if number == REQUESTS // 3:
            os.kill(before[0], signal.SIGKILL)
        text = TEXTS[number % len(TEXTS)]
        assert ask(server, text) == expected[text]
    wait_for(lambda: len(set(replicas()) - {before[0]}) == 2, "Ray has not started another replica")


def test_load_adds_a_replica(server: Server) -> None:
    wait_for(lambda: len(replicas()) == 2, "there are not two replicas")
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            server.request("/v1/classify", {"text": TEXTS * 25, "model": MODEL}, timeout=60)

    with ThreadPoolExecutor(CLIENTS) as clients:
        sending = [clients.submit(send) for _ in range(CLIENTS)]
        try:
            wait_for(lambda: len(replicas()) == 3, "Ray has not added a replica")
        finally:
            stop.set()
        for one in sending:
            one.result()


def test_lines_are_those_of_service_bulk_even_if_processes_are_killed(toy_models: Path, tmp_path: Path) -> None:
    source, output, part, alone = (tmp_path / name for name in ("in", "out", "out.part", "alone"))
    write_lines(source, 20_000)
    with source.open("ab") as file:
        file.write(b"red \xff house\n")
    languages = ["--source", "a", "--target", "b", "--model", "toy-translator"]
    settings = environment(toy_models, workers=1) | {"RAY_ATTENDANT_CPUS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-m", "deploy.ray.bulk", str(source), str(output), *languages]

    def done() -> int:
        return part.read_bytes().count(b"\n") if part.exists() else 0

    with subprocess.Popen(command, cwd=ROOT, env=settings, stderr=subprocess.DEVNULL) as first:
        wait_for(lambda: done() > 0, "no line was translated")
        first.kill()
    before = done()
    assert before < 20_000
    with subprocess.Popen(command, cwd=ROOT, env=settings, stderr=subprocess.PIPE, text=True) as second:
        wait_for(lambda: done() > before, "no further line was translated")
        os.kill(actors("MapWorker")[0], signal.SIGKILL)
        _, written = second.communicate(timeout=120)
    assert second.returncode == 2, written
    assert "1 lines could not be translated" in written
    bulk = [sys.executable, "-m", "service.bulk", str(source), str(alone), *languages]
    assert subprocess.run(bulk, cwd=ROOT, env=settings, check=False, capture_output=True).returncode == 2
    assert output.read_bytes() == alone.read_bytes()
    assert output.with_name("out.errors").read_bytes() == alone.with_name("alone.errors").read_bytes()
    assert len(output.read_bytes().splitlines()) == 20_001


def test_errors_come_before_the_cluster_starts(toy_models: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    write_lines(source, 3)
    command = [sys.executable, "-m", "deploy.ray.bulk", str(source), str(output), "--source", "a", "--target"]

    def failed(*options: str) -> str:
        settings = environment(toy_models)
        ended = subprocess.run(
            [*command, *options], cwd=ROOT, env=settings, check=False, capture_output=True, text=True
        )
        assert ended.returncode == 1
        return ended.stderr

    assert "error: model 'toy-translator' does not translate a to x" in failed("x")
    assert "--workers is 0; give at least 1" in failed("b", "--workers", "0")

"""Ray Serve with two replicas answers like the service; a client that retries loses nothing when one is killed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.common.processes import free_port
from loadtest.client import NotReadyError, Server

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = 150
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


def replicas() -> list[int]:
    """Return the processes of the replicas."""
    found = []
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if status.read_bytes().startswith(b"ray::ServeReplica"):
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


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
    deadline = time.monotonic() + 60
    while len(set(replicas()) - {before[0]}) < 2:
        assert time.monotonic() < deadline, "Ray has not started another replica"
        time.sleep(0.1)

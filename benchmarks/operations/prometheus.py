"""Run the real Prometheus on the rules of deploy/, with their times compressed."""

import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import yaml

from benchmarks.common.processes import free_port

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "rules.yml"
DURATION = re.compile(r"(?P<before>\[|for: )(?P<number>\d+)(?P<unit>[smhd])\b")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
READY_SECONDS = 30.0
_opener = build_opener(ProxyHandler({}))


class PrometheusError(RuntimeError):
    """Prometheus is not installed, does not start, or rejects a query."""


def compress(rules: str, factor: float) -> str:
    """Divide every time of the rules by a factor; the thresholds stay.

    Raises:
        ValueError: a time is not divisible into whole seconds.
    """

    def shorter(found: re.Match[str]) -> str:
        seconds = int(found["number"]) * SECONDS[found["unit"]]
        if seconds % factor:
            raise ValueError(f"{found[0]} divided by {factor:g} is not whole seconds; choose another factor")
        return f"{found['before']}{seconds // factor:g}s"

    return DURATION.sub(shorter, rules)


def longest_seconds(rules: str) -> float:
    """Return how long an alert may need: the longest window of its expression and the time that it must hold."""
    total = 0.0
    for rule in yaml.safe_load(rules)["groups"][0]["rules"]:
        windows = [int(one["number"]) * SECONDS[one["unit"]] for one in DURATION.finditer(rule["expr"])]
        held = DURATION.fullmatch(f"for: {rule.get('for', '0s')}")
        assert held is not None
        total = max(total, int(held["number"]) * SECONDS[held["unit"]] + max(windows, default=0))
    return total


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str
    scrape_seconds: float

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an expression now.

        Raises:
            PrometheusError: it is invalid.
        """
        found = self.get("query", query=expression)["result"]
        assert isinstance(found, list)
        return found

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of a path of the API.

        Raises:
            PrometheusError: the answer is not a success.
        """
        try:
            with _opener.open(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as response:
                return json.load(response)["data"]
        except URLError as error:
            raise PrometheusError(f"{path} {parameters}: {error}") from error

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return {one["metric"]["alertname"] for one in self.query('ALERTS{alertstate="firing"}')}

    def series(self) -> set[str]:
        """Return the names of the series that were scraped from the service."""
        return {one["metric"]["__name__"] for one in self.query('count by (__name__) ({__name__=~"attendant_.+"})')}

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds, at most some seconds; return whether it does."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(self.scrape_seconds / 4)
        return True


def find_prometheus() -> str | None:
    """Return the path of the program, None if it is not installed."""
    return shutil.which("prometheus")


@contextmanager
def running_prometheus(targets: Sequence[str], rules: str, scrape_seconds: float = 1.0) -> Iterator[Prometheus]:
    """Run Prometheus with these rules on these targets, under the job name that the rules need.

    Raises:
        PrometheusError: it is not installed, or does not start.
    """
    program = find_prometheus()
    if program is None:
        raise PrometheusError("the program prometheus is not on PATH; Debian has it as the package `prometheus`")
    with tempfile.TemporaryDirectory(prefix="attendant-prometheus-") as name:
        folder, port = Path(name), free_port()
        interval = f"{1000 * scrape_seconds:.0f}ms"
        job = {"job_name": "attendant", "metrics_path": "/metrics", "static_configs": [{"targets": list(targets)}]}
        times = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
        configuration = {"global": times, "rule_files": ["rules.yml"], "scrape_configs": [job]}
        (folder / "rules.yml").write_text(rules, "utf-8")
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration), "utf-8")
        command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                   f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"]  # fmt: skip
        with (folder / "log").open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                found = Prometheus(f"http://127.0.0.1:{port}", scrape_seconds)
                if not found.wait(lambda: process.poll() is not None or _ready(found), READY_SECONDS) or process.poll():
                    log.seek(0)
                    raise PrometheusError(f"{' '.join(command)} did not start:\n{log.read()[-2000:]}")
                yield found
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()


def _ready(prometheus: Prometheus) -> bool:
    try:
        with _opener.open(f"{prometheus.url}/-/ready", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False

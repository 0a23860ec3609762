"""Restart three instances one after the other behind a real proxy, under load; count the requests that are lost.

    python -m benchmarks.operations.rolling_restart [ARTIFACT] [--rounds 2] [--clients 16] [--only NAME] [--json FILE]

Clients send requests without ever trying again, each on a connection that it keeps or on a new one each time. A request
is lost if it has no answer, one with another status than 200, or one with another text than the same request had
before. The ways to restart:

- nginx, as configured in deploy/nginx: SIGTERM, and nginx turns to the other instances when connections are refused;
- HAProxy with the readiness probe of the pods in deploy/kubernetes, and their lame-duck and drain times;
- the same with SIGKILL instead of SIGTERM: what would be lost without the drain, so that the measurement can fail.

Exits with status 1 if a request is lost after SIGTERM, an instance does not exit with 0 or not in its time, or SIGKILL
loses none. Needs nginx and HAProxy (Debian: `nginx-light`, `haproxy`).
"""

import argparse
import json
import signal
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from benchmarks.common.figures import write_figures
from benchmarks.operations.instance import Instance, exit_at_sigterm, running
from benchmarks.operations.proxies import Proxy, haproxy, nginx, pod

MODEL = Path("models/translate-en-de-fr-es")
INSTANCES = 3
SECONDS_BETWEEN = 1.0  # from the readiness of an instance to the end of the next, as a roll-out waits
PATH = "/v1/translate"
SENTENCES = (1, 1, 1, 8, 40)  # of the requests: some are in flight for long
TIMEOUT = 70.0


@dataclass(frozen=True)
class Way:
    """A way to restart: the proxy, the settings of the instances, the signal, and the time until they must be gone."""

    name: str
    proxy: Callable[[Sequence[int]], AbstractContextManager[Proxy]]
    settings: dict[str, str]
    signal: signal.Signals
    grace_seconds: float
    loses_none: bool = True


def ways() -> list[Way]:
    """Return the ways, with the settings that deploy/ has."""
    specification = pod()
    variables = {one["name"]: one["value"] for one in specification["containers"][0]["env"]}
    settings = {name: value for name, value in variables.items() if name.endswith("_SECONDS")}
    grace = float(specification["terminationGracePeriodSeconds"])
    drained = {"ATTENDANT_DRAIN_TIMEOUT_SECONDS": "30"}  # deploy/systemd/attendant.env
    return [
        Way("nginx", nginx, drained, signal.SIGTERM, 40.0),
        Way("HAProxy, probes of the pod", haproxy, settings, signal.SIGTERM, grace),
        Way("HAProxy, SIGKILL", haproxy, settings, signal.SIGKILL, grace, loses_none=False),
    ]


def request_bodies() -> list[str]:
    found = []
    for number, sentences in enumerate(SENTENCES):
        texts = [f"There are {100 * number + k} books in the house." for k in range(sentences)]
        found.append(json.dumps({"text": texts, "source": "en", "target": "de"}))
    return found


def connect(proxy: Proxy) -> HTTPConnection:
    if not proxy.tls:
        return HTTPConnection("127.0.0.1", proxy.port, timeout=TIMEOUT)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the certificate was made a second ago
    return HTTPSConnection("127.0.0.1", proxy.port, timeout=TIMEOUT, context=context)


def ask(connection: HTTPConnection, body: str, close: bool = False) -> tuple[int, list[str]]:
    """Send a request; return its status and the translations."""
    headers = {"Content-Type": "application/json"} | ({"Connection": "close"} if close else {})
    connection.request("POST", PATH, body, headers)
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        return response.status, []
    return 200, [one["text"] for one in json.loads(content)["translations"]]


class Load:
    """Clients that never try again."""

    def __init__(self, proxy: Proxy, bodies: Sequence[str], expected: Sequence[list[str]]) -> None:
        self.proxy, self.bodies, self.expected = proxy, bodies, expected
        self.answered, self.longest = 0, 0.0
        self.lost: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._clients = 0

    def send(self, ended: threading.Event) -> None:
        """Be one client until `ended` is set; every second one keeps its connection."""
        with self._lock:
            number = self._clients
            self._clients += 1
        keep, connection = number % 2 == 0, connect(self.proxy)
        while not ended.is_set():
            number += 1
            which = number % len(self.bodies)
            started = time.monotonic()
            try:
                status, texts = ask(connection, self.bodies[which], close=not keep)
                problem = "" if texts == self.expected[which] else f"status {status}" if status != 200 else "wrong text"
            except (OSError, HTTPException) as error:
                problem = type(error).__name__
                connection.close()
            with self._lock:
                self.longest = max(self.longest, time.monotonic() - started)
                if problem:
                    self.lost[problem] += 1
                else:
                    self.answered += 1


@dataclass
class Restart:
    """What one instance did."""

    exit_status: int
    stop_seconds: float
    start_seconds: float


def restart(instance: Instance, way: Way) -> Restart:
    """End an instance as the way says, and start it again."""
    started = time.monotonic()
    instance.process.send_signal(way.signal)
    status = instance.process.wait(way.grace_seconds)
    stopped = time.monotonic()
    instance.kill()
    instance.start()
    return Restart(status, stopped - started, time.monotonic() - stopped)


@contextmanager
def instances(artifact: Path, settings: dict[str, str]) -> Iterator[list[Instance]]:
    """Run the instances, and wait until all are ready."""
    with ExitStack() as stack:
        found = [stack.enter_context(Instance([artifact], **settings)) for _ in range(INSTANCES)]
        for instance in found:
            instance.start(wait=False)
        for instance in found:
            instance.wait_ready()
        yield found


def measure(way: Way, artifact: Path, clients: int, rounds: int) -> dict[str, Any]:
    """Restart all instances in some rounds, in one of the ways."""
    bodies = request_bodies()
    with instances(artifact, way.settings) as found, way.proxy([instance.port for instance in found]) as proxy:
        first = connect(proxy)
        expected = [ask(first, body)[1] for body in bodies]
        first.close()
        load, restarts = Load(proxy, bodies, expected), []
        with running(load.send, clients) as ended:
            for _ in range(rounds):
                for instance in found:
                    ended.wait(SECONDS_BETWEEN)
                    restarts.append(restart(instance, way))
            ended.wait(SECONDS_BETWEEN)
    drained = way.loses_none
    right = all(one.exit_status == 0 for one in restarts) if drained else True
    return {
        "way": way.name,
        "restarts": len(restarts),
        "requests": load.answered + sum(load.lost.values()),
        "lost": sum(load.lost.values()),
        "losses": dict(load.lost),
        "longest_s": round(load.longest, 2),
        "stop_s": round(max(one.stop_seconds for one in restarts), 1),
        "start_s": round(max(one.start_seconds for one in restarts), 1),
        "exit_statuses": sorted({one.exit_status for one in restarts}),
        "right": right and bool(load.lost) != drained,
    }


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", nargs="?", type=Path, default=MODEL)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--only", default="", help="restart in the ways whose name has this")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args(words)
    exit_at_sigterm()
    rows = []
    for way in ways():
        if options.only in way.name:
            rows.append(measure(way, options.artifact, options.clients, options.rounds))
            sys.stdout.write(f"{'ok' if rows[-1]['right'] else 'WRONG':6}{rows[-1]}\n")
            sys.stdout.flush()
            if options.json:
                what = "requests lost while three instances are restarted one after the other"
                write_figures(options.json, what, rows)
    return int(not all(row["right"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

"""How long from starting the process to the first /readyz that answers 200.

python -m benchmarks.http.startup [--python .venv/bin/python] [--rounds 5]
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

LIMIT = 60.0  # seconds


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_ready(port: int) -> bool:
    """Whether /readyz answers 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except ConnectionError:
        return False
    finally:
        connection.close()


def measure(python: Path) -> float:
    """Seconds until the service is ready; it is stopped again."""
    port = free_port()
    environment = {**os.environ, "ATTENDANT_PORT": str(port)}
    started = time.perf_counter()
    service = subprocess.Popen([str(python), "-m", "service"], env=environment, stderr=subprocess.DEVNULL)
    try:
        while not is_ready(port):
            if service.poll() is not None or time.perf_counter() - started > LIMIT:
                raise RuntimeError(f"the service did not get ready, its exit status is {service.poll()}")
            time.sleep(0.02)  # the resolution of the measurement
        return time.perf_counter() - started
    finally:
        service.terminate()
        service.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=Path(".venv/bin/python"))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    python = arguments.python if arguments.python.is_file() else Path(sys.executable)
    times = [measure(python) for _ in range(arguments.rounds)]
    sys.stdout.write(
        "| starts | median s | slowest s |\n|---|---|---|\n"
        f"| {len(times)} | {statistics.median(times):.2f} | {max(times):.2f} |\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

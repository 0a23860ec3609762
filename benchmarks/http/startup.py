"""Time from starting the process to the first /readyz that answers 200.

python -m benchmarks.http.startup [--python .venv/bin/python] [--rounds 5] [--json FILE]
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

from benchmarks.common.figures import write_figures
from benchmarks.common.processes import free_port, server


def measure(python: Path) -> float:
    """Start the service, stop it when it is ready, and return the seconds until then."""
    port, started = free_port(), time.perf_counter()
    with server([str(python), "-m", "service"], port, {"ATTENDANT_PORT": str(port)}):
        return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=Path(".venv/bin/python"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    python = arguments.python if arguments.python.is_file() else Path(sys.executable)
    times = [measure(python) for _ in range(arguments.rounds)]
    sys.stdout.write(
        "| starts | median s | slowest s |\n|---|---|---|\n"
        f"| {len(times)} | {statistics.median(times):.2f} | {max(times):.2f} |\n"
    )
    if arguments.json:
        row = {"starts": len(times), "median_s": statistics.median(times), "slowest_s": max(times)}
        write_figures(arguments.json, "From the start of the process to the first 200 of /readyz", [row], seconds=times)
    return 0


if __name__ == "__main__":
    sys.exit(main())

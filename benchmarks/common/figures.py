"""The JSON file of a benchmark's `--json`, from which `make docs` writes the documentation's tables, and its report."""

import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common.report import report
from benchmarks.common.rounds import Round, median
from service.engine.cores import available_cores

PACKAGES = ("onnxruntime", "ctranslate2", "torch")


def write_figures(
    path: Path, what: str, rows: Sequence[Mapping[str, Any]], ratios: Mapping[str, float] | None = None, **details: Any
) -> None:
    """Write rows and ratios with the command, the date, the commit and the machine; `details` are kept beside them.

    docs/generator/figures.py reads the file. Beside it is a report of charts for people, NAME.html.
    """
    table = {
        "what": what,
        "command": command(),
        "measured": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "load": psutil.getloadavg(),  # before and during the benchmark
        "ratios": dict(ratios or {}),
        "rows": list(rows),
        **details,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", "utf-8")
    path.with_suffix(".html").write_text(report(what, [table]), "utf-8")


def busy_note() -> str:
    """Return a note for the table's caption if the machine is busy with other work; call it before the benchmark."""
    load = psutil.getloadavg()[0]
    return "" if load < 1 else f"other work kept the machine busy: load average {load:.1f} before the benchmark"


def medians(rounds: list[Round]) -> list[dict[str, Any]]:
    """Return a row for each side with the medians of its metrics."""
    return [
        {"system": side, **{metric: median(rounds, side, metric) for metric in metrics}}
        for side, metrics in rounds[0].items()
    ]


def command() -> str:
    """Return the command line of this process, without `--json FILE`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    words = list(sys.argv[1:])
    if "--json" in words:
        at = words.index("--json")
        del words[at : at + 2]
    return " ".join(["python", "-m", spec.name if spec else Path(sys.argv[0]).stem, *words])


def commit() -> str:
    """Return the commit of the checkout, with `-dirty` if tracked files differ; "unknown" outside a checkout."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def machine() -> str:
    """Describe the machine: usable cores, CPU, memory, system, and the versions of what computes."""
    memory = round(psutil.virtual_memory().total / 2**30)
    found = [
        f"{available_cores()} cores of {cpu()}",
        f"{memory} GiB",
        platform.platform(),
        f"Python {platform.python_version()}",
    ]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def cpu() -> str:
    """Return the name of the CPU, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

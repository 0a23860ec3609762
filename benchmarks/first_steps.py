"""From a table of rows to an answer over HTTP in a fresh clone: the commands, and the seconds that each takes.

    python -m benchmarks.first_steps ROWS.csv [--minutes 2] [--text "My card has not arrived"] [--json FILE]

clones this checkout into a temporary folder and runs there what a newcomer runs, installation included: `make train`,
`make export`, `make serve`, curl. pip's download cache is used as it is.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.common.figures import busy_note, write_figures
from benchmarks.common.processes import free_port, server

HERE = Path(__file__).parents[1]


class Steps:
    """Runs commands in a folder and keeps the seconds of each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = folder, list[dict[str, Any]]()

    def run(self, shown: str, words: list[str]) -> None:
        """Run a command to its end.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        started = time.monotonic()
        with (self.folder / "output.log").open("ab") as log:
            subprocess.run(words, cwd=self.folder / "clone" if self.rows else self.folder, check=True, stdout=log,
                           stderr=log)  # fmt: skip
        self.add(shown, started)

    def add(self, shown: str, started: float) -> None:
        """Keep the seconds since the start of a command."""
        total = sum(row["seconds"] for row in self.rows)
        seconds = time.monotonic() - started
        self.rows.append({"command": shown, "seconds": seconds, "minutes": (total + seconds) / 60})
        sys.stdout.write(f"{self.rows[-1]}\n")
        sys.stdout.flush()


def walk(table: Path, minutes: float, text: str, folder: Path) -> list[dict[str, Any]]:
    """Run all commands; return a row for each."""
    steps, port = Steps(folder), free_port()
    steps.run("git clone", ["git", "clone", "--quiet", str(HERE), "clone"])
    shutil.copy(table, folder / "clone" / "rows.csv")
    steps.run(
        f"make train ROWS=rows.csv MINUTES={minutes:g}", ["make", "train", "ROWS=rows.csv", f"MINUTES={minutes:g}"]
    )
    steps.run("make export RUN=runs/rows", ["make", "export", "RUN=runs/rows"])
    started = time.monotonic()
    with server(["make", "serve", f"PORT={port}"], port, folder=folder / "clone"):
        steps.add("make serve, until it is ready", started)
        started = time.monotonic()
        reply = httpx.post(f"http://127.0.0.1:{port}/v1/classify", json={"text": text, "model": "rows"}, timeout=60)
        reply.raise_for_status()
        steps.add("curl .../v1/classify", started)
        sys.stdout.write(f"{reply.text}\n")
    report = json.loads((folder / "clone" / "runs" / "rows" / "report.json").read_text("utf-8"))
    steps.rows[1]["accuracy"] = report["valid"]["labels"]["accuracy"]
    return steps.rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--minutes", type=float, default=2.0, help="of the training")
    parser.add_argument("--text", default="My card has not arrived", help="to classify")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    notes = busy_note()
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = walk(options.table.resolve(), options.minutes, options.text, Path(folder))
        except (subprocess.CalledProcessError, RuntimeError) as error:
            log = (Path(folder) / "output.log").read_text("utf-8", errors="replace")
            sys.stderr.write(f"{log[-3000:]}\nerror: {error}\n")
            return 1
    if options.json:
        write_figures(options.json, "from a table to an answer in a fresh clone", rows, notes=notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The rate of `python -m service.bulk` beside that of the engine alone, its memory, and a kill on the way.

    python -m benchmarks.operations.bulk [--lines 100000] [--json docs/figures/bulk.json]

Lines of Tatoeba in a seeded order are translated from English to German. The engine's own rate is measured on some of
them before, between and after the runs, from ids to ids. Half-way the translation is killed, and the same command goes
on; the time of both runs counts, with their starts. Then the lines around the kill are translated once more, alone, and
compared. Memory is that of both processes together: the highest of the first fifth of the time, and of all of it. Exits
with status 1 if a line was lost, doubled or changed.
"""

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from benchmarks.common.figures import busy_note, write_figures
from benchmarks.common.processes import resident_bytes
from benchmarks.http.engine_rates import EngineRates
from training.data.corpus import read_corpus

CORPUS, COLUMNS = "tatoeba/train.en-de.tsv.gz", ["en", "de"]
SOURCE, TARGET = COLUMNS
MODEL = "translate-en-de-fr-es"
ROWS = 128  # the default of ATTENDANT_ROWS
SAMPLE = 4000  # lines that the engine's own rate is measured on
AROUND = 500  # lines before and after the kill that are translated again
POLL = 0.25  # seconds


class Run:
    """Runs of the command, and the memory that they took."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.memory: list[tuple[float, int]] = []  # at these seconds of all runs together

    def start(self, source: Path, output: Path, until: Callable[[], bool] = lambda: False) -> None:
        """Translate a file to the end, or kill the process as soon as a condition holds.

        Raises:
            RuntimeError: the process failed.
        """
        command = [sys.executable, "-m", "service.bulk", str(source), str(output), "--source", SOURCE]
        started = time.monotonic()
        process = subprocess.Popen([*command, "--target", TARGET, "--model", MODEL])
        while process.poll() is None:
            time.sleep(POLL)
            if until():
                process.kill()
                break
            try:
                self.memory.append((self.seconds + time.monotonic() - started, resident_bytes(process.pid)))
            except psutil.NoSuchProcess:
                break
        status = process.wait()
        self.seconds += time.monotonic() - started
        if status > 0:
            raise RuntimeError(f"{' '.join(command)} ended with status {status}")

    def highest(self, share: float) -> float:
        """Return the highest memory of a share of the time, from its beginning, in MB."""
        return round(max(used for at, used in self.memory if at <= share * self.seconds) / 1e6, 1)


def lines_in(path: Path) -> int:
    """Return how many complete lines a file has, which may not exist yet."""
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def differences(lines: Sequence[str], output: Path, killed_at: int, folder: Path) -> int:
    """Return how many lines around the kill are not what they are when they are translated alone."""
    first = max(0, killed_at - AROUND)
    excerpt = folder / "excerpt"
    excerpt.write_text("".join(f"{line}\n" for line in lines[first : killed_at + AROUND]), "utf-8")
    Run().start(excerpt, folder / "excerpt.out")
    again = (folder / "excerpt.out").read_text("utf-8").split("\n")[:-1]
    found = output.read_text("utf-8").split("\n")[first : killed_at + AROUND]
    return sum(one != other for one, other in zip(again, found, strict=True))


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a line was lost, doubled or changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement of the engine alone")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(words)
    notes = busy_note()
    lines = [row[0] for row in read_corpus([CORPUS], COLUMNS, options.data)]
    random.Random(1).shuffle(lines)
    lines = lines[: options.lines]
    offline: list[float] = []

    def measure_engine() -> None:
        with EngineRates(["translate", f"models/{MODEL}", "--rows", str(ROWS)], lines[:SAMPLE]) as engine:
            offline.append(engine.measure(3.0, options.seconds)["per_second"])

    folder = Path(tempfile.mkdtemp())
    try:
        source, output, run = folder / "in", folder / "out", Run()
        source.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        measure_engine()
        run.start(source, output, lambda: lines_in(folder / "out.part") >= len(lines) // 2)
        killed_at = lines_in(folder / "out.part")
        measure_engine()
        run.start(source, output)
        measure_engine()
        row = {
            "lines": len(lines),
            "lines_per_second": round(len(lines) / run.seconds, 1),
            "engine_per_second": round(statistics.mean(offline), 1),
            "first_mb": run.highest(0.2),
            "highest_mb": run.highest(1.0),
            "killed_at": killed_at,
            "written": lines_in(output),
            "different": differences(lines, output, killed_at, folder),
        }
    finally:
        shutil.rmtree(folder)
    sys.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()) + "\n")
    ratio = row["ratio"] = round(row["lines_per_second"] / row["engine_per_second"], 3)
    sys.stdout.write(f"{ratio:.3f} of the engine's rate\n")
    if options.json:
        write_figures(options.json, "Translation of a file", [row], {"bulk/engine": ratio}, notes=notes)
    return int(row["written"] != len(lines) or row["different"] != 0)


if __name__ == "__main__":
    sys.exit(main())

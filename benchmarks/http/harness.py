"""What both HTTP comparisons share: their command line, and running them from weights to table and JSON file."""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common.figures import write_figures
from benchmarks.common.rounds import Round
from benchmarks.http.load_generator import CLIENTS, Traffic
from benchmarks.http.servers import Flags
from export.import_artifact import ensure_run

Measured = tuple[list[Round], Flags, float]  # rounds, the baseline's options, the share of equal answers
Convert = Callable[[Path, Path], object]  # converts a run folder into the baseline's model folder
Measure = Callable[[argparse.Namespace, Path, Traffic], Measured]  # given the baseline's model folder
Report = Callable[[argparse.Namespace, Measured], dict[str, Any]]


def parser(description: str | None, artifact: Path | None, run: Path | None, tuned: Flags) -> argparse.ArgumentParser:
    """Return the common options; `tuned` are the baseline's options found by --tune on a two-core machine."""
    top = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--artifact", type=Path, default=artifact)
    top.add_argument(
        "--run", type=Path, default=run, help="run folder with the same weights, for the baseline; created if missing"
    )
    top.add_argument("--data", type=Path, default=Path("data"), help="corpora; without them sentences are generated")
    top.add_argument("--clients", type=int, default=CLIENTS)
    top.add_argument("--rounds", type=int, default=5)
    top.add_argument("--seconds", type=float, default=8.0)
    top.add_argument("--tune", action="store_true")
    top.add_argument("--baseline", type=json.loads, default=tuned, help="the baseline's options as JSON, unless --tune")
    top.add_argument(
        "--json", type=Path, help="write the results to this file, such as docs/figures/http-classify.json"
    )
    return top


def run(arguments: argparse.Namespace, convert: Convert, measure: Measure, report: Report) -> int:
    """Convert the weights for the baseline, measure, print the table, write the file."""
    with tempfile.TemporaryDirectory() as folder, Traffic() as traffic:
        convert(ensure_run(arguments.artifact, arguments.run), Path(folder))
        found = report(arguments, measure(arguments, Path(folder), traffic))
    if arguments.json:
        write_figures(arguments.json, **found)
    return 0


def conditions(arguments: argparse.Namespace) -> str:
    """Return the rounds and clients in words, for the caption of the table."""
    return f"{arguments.rounds} rounds of {arguments.seconds:g} s, {arguments.clients} clients"

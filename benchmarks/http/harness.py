"""What the HTTP benchmarks share: their command line, and the walk from weights to a table and a file."""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common.rounds import Round
from benchmarks.http.load_generator import CLIENTS, Traffic
from benchmarks.http.servers import Flags
from export.import_artifact import run_of

Measured = tuple[list[Round], Flags, float]  # rounds, the rival's flags, the share of answers that agree
Convert = Callable[[Path, Path], object]  # a run folder into a folder of the rival's
Measure = Callable[[argparse.Namespace, Path, Traffic], Measured]  # with the folder of the rival's model
Report = Callable[[argparse.Namespace, Measured], dict[str, Any]]


def parser(description: str | None, artifact: Path | None, run: Path | None, tuned: Flags) -> argparse.ArgumentParser:
    """The options of both; defaults are the artifact that ships and the rival's flags as they were tuned."""
    top = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--artifact", type=Path, default=artifact)
    top.add_argument("--run", type=Path, default=run, help="the same weights, for the rival; made if it is missing")
    top.add_argument("--data", type=Path, default=Path("data"), help="corpora; without them sentences are generated")
    top.add_argument("--clients", type=int, default=CLIENTS)
    top.add_argument("--rounds", type=int, default=5)
    top.add_argument("--seconds", type=float, default=8.0)
    top.add_argument("--tune", action="store_true")
    top.add_argument("--rival", type=json.loads, default=tuned, help="the rival's flags, as JSON, without --tune")
    top.add_argument("--json", type=Path, help="write every round's figures to this file")
    return top


def run(arguments: argparse.Namespace, convert: Convert, measure: Measure, report: Report) -> int:
    """Convert the run's weights for the rival, measure, print the table, write the file."""
    with tempfile.TemporaryDirectory() as folder, Traffic() as traffic:
        convert(run_of(arguments.artifact, arguments.run), Path(folder))
        found = report(arguments, measure(arguments, Path(folder), traffic))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0

"""Compare the time of a decoding step at position 100 with that at position 10: with a KV cache, about equal.

    python -m benchmarks.offline.cached_decoding [ARTIFACT] [--rows 32] [--rounds 60] [--json FILE]

Positions alternate within every round; the result is the median of the rounds' ratios. The rows are real rows of the
state pool, with caches filled up to the position.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

from benchmarks.common.figures import write_figures
from service.artifact import read_artifact
from service.engine.cores import available_cores
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.types import EngineRequest

POSITIONS = (10, 100)
SOURCE_LENGTH = 30


def measure(engine: TranslateEngine, rows: int, position: int, repeat: int = 5) -> float:
    """Return the milliseconds of one step of `rows` rows at a position, the median of `repeat` steps."""
    engine.clear()
    engine.join([EngineRequest([engine.special_tokens.unk] * SOURCE_LENGTH) for _ in range(rows)])
    times = []
    for _ in range(repeat):
        engine.position[:rows] = position
        started = time.perf_counter()
        engine.forward()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path, nargs="?", default=Path("models/translate-en-de-fr-es"))
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    artifact = read_artifact(arguments.artifact)
    engine = TranslateEngine(TranslateGraphs.load(artifact, available_cores()), arguments.rows)
    for position in POSITIONS:
        measure(engine, arguments.rows, position)
    rounds = [[measure(engine, arguments.rows, position) for position in POSITIONS] for _ in range(arguments.rounds)]
    near, far = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratio = statistics.median(late / early for early, late in rounds)
    sys.stdout.write(
        "| rows | step at 10, ms | step at 100, ms | ratio (median of rounds) |\n|---|---|---|---|\n"
        f"| {arguments.rows} | {near:.2f} | {far:.2f} | {ratio:.2f} |\n"
    )
    if arguments.json:
        name = f"{artifact.manifest.name}, {artifact.manifest.precision}"
        row = {"artifact": name, "rows": arguments.rows, "near_ms": [near], "far_ms": [far], "ratios": [ratio]}
        notes = f"{arguments.rounds} rounds"
        write_figures(arguments.json, "A decoding step at position 100 beside one at position 10", [row], notes=notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The GPU code path beside the numpy one, both on the CPU: CPU time of the same requests.

    python -m benchmarks.offline.resident [ARTIFACT] [--rounds 5] [--json FILE]

Greedy search, beam search and a mix of all kinds of requests, each with the same random sources. The two take turns,
and a ratio is the median of the rounds' ratios; CPU time is compared, because other work on the machine changes it
less than the time that passes.
"""

import argparse
import random
import statistics
import sys
import time
from pathlib import Path

from benchmarks.common.figures import busy_note, write_figures
from export.checks.local_engine import run_requests
from service.artifact import Artifact, read_artifact
from service.engine.device import CPU, Device
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest

SIDES = {"numpy": CPU, "device": Device(resident=True)}
KINDS: dict[str, list[dict[str, object]]] = {
    "greedy": [{}],
    "beam 4": [{"beam_size": 4}],
    "mix": [{}, {"beam_size": 4}, {"temperature": 1.0, "top_k": 20}, {"suppressed": (20, 21), "min_length": 3}],
}
MAX_LENGTH = 40


def requests(artifact: Artifact, kind: str, count: int) -> list[EngineRequest]:
    """Return requests with random sources, the same in every call."""
    generator, eos = random.Random(1), artifact.manifest.special_tokens.eos
    options = [DecodingOptions(max_length=MAX_LENGTH, **changes) for changes in KINDS[kind]]  # type: ignore[arg-type]
    return [
        EngineRequest(
            [*(generator.randrange(4, 250) for _ in range(generator.randint(4, 40))), eos], options[i % len(options)]
        )
        for i in range(count)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path, nargs="?", default=Path("models/translate-en-de-fr-es"))
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--requests", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    notes, artifact = busy_note(), read_artifact(arguments.artifact)
    engines = {
        side: TranslateEngine(TranslateGraphs.load(artifact, 1, device), arguments.rows)
        for side, device in SIDES.items()
    }
    rows = []
    for kind in KINDS:
        times: dict[str, list[float]] = {side: [] for side in SIDES}
        for number in range(arguments.rounds + 1):
            for side in list(SIDES)[:: -1 if number % 2 else 1]:
                batch = requests(artifact, kind, arguments.requests)
                started = time.process_time()
                run_requests([engines[side]], batch, arguments.rows)
                if number:  # the first round warms up
                    times[side].append(time.process_time() - started)
        ratio = statistics.median(b / a for a, b in zip(times["numpy"], times["device"], strict=True))
        row = {"kind": kind, **{side: statistics.median(found) for side, found in times.items()}, "ratio": ratio}
        rows.append(row)
        sys.stdout.write(f"{kind}: numpy {row['numpy']:.2f} s, device {row['device']:.2f} s, ratio {ratio:.3f}\n")
    if arguments.json:
        what = "CPU seconds of the same requests with states as numpy arrays and in the memory of a device (the CPU)"
        write_figures(arguments.json, what, rows, notes=notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compare two checkouts of this project over HTTP: the same load on both services, alternating, in one run.

    python -m benchmarks.http.compare_checkouts BEFORE AFTER [--task translate|classify] [--data data] [--clients 64]
        [--rounds 7] [--seconds 8] [--guard] [--json FILE]

BEFORE and AFTER are folders with a checkout each. Both services use this interpreter and serve the model of the task
from the `models/` of their own checkout. Translation runs without retries (ATTENDANT_GUARD=0), so that both services
decode the same number of tokens, or with `--guard` as it does by default. Figures are medians of the rounds; ratios are
medians of each round's ratio.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common.figures import busy_note, medians, write_figures
from benchmarks.common.rounds import alternate, ratio, table
from benchmarks.common.texts import LABELLED, PARALLEL, sentences
from benchmarks.http.load_generator import CLIENTS, Traffic
from benchmarks.http.servers import LoadPlan, agreement, attendant_server

TEXTS = 4000
MODELS = {"translate": "translate-en-de-fr-es", "classify": "langid"}
COLUMNS = {
    "per_second": "texts/s", "p50_ms": "p50, ms", "p95_ms": "p95, ms", "server_cpu_ms": "server CPU, ms a text",
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("before", type=Path)
    top.add_argument("after", type=Path)
    top.add_argument("--task", choices=MODELS, default="translate")
    top.add_argument("--data", type=Path, default=Path("data"), help="corpora; without them sentences are generated")
    top.add_argument("--clients", type=int, default=CLIENTS)
    top.add_argument("--rounds", type=int, default=7)
    top.add_argument("--seconds", type=float, default=8.0)
    top.add_argument("--guard", action="store_true", help="try translations again that have quality issues")
    top.add_argument("--json", type=Path, help="write the results of every round to this file")
    return top


def requests(task: str, data: Path) -> list[tuple[str, str]]:
    """Return the path and the JSON body of every request."""
    if task == "classify":
        texts = sentences(data, LABELLED, ["label", "text"], "text", TEXTS)
        return [("/v1/classify", json.dumps({"text": text})) for text in texts]
    texts = sentences(data, PARALLEL, ["en", "de"], "en", TEXTS)
    return [("/v1/translate", json.dumps({"text": text, "source": "en", "target": "de"})) for text in texts]


def main(words: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(words)
    notes = busy_note()
    bodies, guard = requests(arguments.task, arguments.data), str(int(arguments.guard))
    with ExitStack() as stack:
        plan = LoadPlan(stack.enter_context(Traffic()), bodies, arguments.clients, arguments.seconds)
        before, after = (
            stack.enter_context(
                attendant_server([checkout / "models" / MODELS[arguments.task]], checkout, ATTENDANT_GUARD=guard)
            )
            for checkout in (arguments.before, arguments.after)
        )
        agreement_share = agreement(before, after, bodies)
        sides = {"before": lambda: plan.metrics(before), "after": lambda: plan.metrics(after)}
        rounds = alternate(sides, arguments.rounds)
    ratios = {f"{name}, after to before": ratio(rounds, "after", "before", name) for name in COLUMNS}
    sys.stdout.write(table(rounds, COLUMNS))
    sys.stdout.write("".join(f"{name}: {value:.3f}\n" for name, value in ratios.items()))
    sys.stdout.write(f"{agreement_share:.0%} of the answers are equal\n")
    if arguments.json:
        retries = "with" if arguments.guard else "without"
        what = f"Two checkouts compared: POST /v1/{arguments.task}, one text a request, {retries} retries"
        write_figures(
            arguments.json, what, medians(rounds), ratios, notes=notes, equal_answers=agreement_share, rounds=rounds
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

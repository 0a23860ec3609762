"""Compare the translations of two checkouts of this project over HTTP: quality, warnings, tokens and rates.

    python -m benchmarks.http.compare_quality BEFORE AFTER [--data data] [--rows 2000 | --rates] [--rounds 3]
        [--seconds 4] [--mix-rounds 5] [--mix-seconds 8] [--direction en-de] [--model FOLDER] [--differences FILE]
        [--json FILE]

BEFORE and AFTER are folders with a checkout each. Both services use this interpreter and their default settings, and
serve the translator from the `models/` of their own checkout, or both that of `--model`. The test sentences of Tatoeba
are translated by both in each direction. BLEU is sacreBLEU's; `warned` is the share of sentences with a warning;
`tokens` are the target tokens that were generated per sentence, those of retries included. With `--rounds` above 0, the
rates of each direction are measured in alternating rounds, with one sentence a request; `mix` is the load of
benchmarks/http/translate.py, half news, half Tatoeba. Rates are medians of the rounds, ratios medians of each round's
ratio.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from benchmarks.common.figures import busy_note, write_figures
from benchmarks.common.rounds import Round, alternate, median, ratio
from benchmarks.common.texts import PARALLEL, sentences
from benchmarks.http.load_generator import CLIENTS, Traffic
from benchmarks.http.servers import LoadPlan, RunningServer, attendant_server
from benchmarks.offline.quality import read_pairs
from service.artifact import Direction, read_artifact
from training.metrics import translation_metrics

MODEL = "models/translate-en-de-fr-es"
TEST_SET = "tatoeba/test"
MIX_TEXTS = 4000
MIX_QUALITY = 500  # texts of the mix whose tokens and warnings are counted
CHUNK = 20  # texts of a request that asks for quality
TIMEOUT = "600"  # seconds of a request, on a machine that may be busy
Sides = dict[str, RunningServer]


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("before", type=Path)
    top.add_argument("after", type=Path)
    top.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora (default: data)")
    top.add_argument("--rows", type=int, default=2000, help="test sentences of each direction")
    top.add_argument("--direction", action="append", default=[], help="such as en-de; may be repeated (default: all)")
    top.add_argument("--model", type=Path, help="translator of both sides (default: each serves its own)")
    top.add_argument("--clients", type=int, default=CLIENTS)
    top.add_argument("--rates", action="store_true", help="measure rates alone, without BLEU, warnings and tokens")
    top.add_argument("--rounds", type=int, default=3, help="rounds of each direction's rate; 0 leaves them out")
    top.add_argument("--seconds", type=float, default=4.0)
    top.add_argument("--mix-rounds", type=int, default=5, help="rounds of the mix; 0 leaves it out")
    top.add_argument("--mix-seconds", type=float, default=8.0)
    top.add_argument("--differences", type=Path, help="append every sentence whose answers differ to this file")
    top.add_argument("--json", type=Path, help="write the figures to this file")
    return top


def translate(running: RunningServer, texts: Sequence[str], direction: Direction) -> tuple[list[dict[str, Any]], float]:
    """Return the answers to all texts, and the target tokens that were generated per text."""
    answers: list[dict[str, Any]] = []
    tokens = 0
    with httpx.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=float(TIMEOUT), trust_env=False) as client:
        for start in range(0, len(texts), CHUNK):
            body = {"text": texts[start : start + CHUNK], "source": direction.source, "target": direction.target}
            reply = client.post("/v1/translate", json=body)
            reply.raise_for_status()
            found = reply.json()
            answers += found["translations"]
            tokens += found["usage"]["target_tokens"]
    return answers, tokens / len(texts)


def quality(answers: Sequence[dict[str, Any]], tokens: float, references: list[str]) -> dict[str, Any]:
    """Return the figures of one side."""
    metrics = translation_metrics([answer["text"] for answer in answers], references)
    warned = sum(bool(answer.get("warnings")) for answer in answers)
    return {
        "bleu": metrics["bleu"], "signature": metrics["signature"],
        "warned_percent": 100 * warned / len(answers), "tokens": tokens,
    }  # fmt: skip


def differences(
    name: str, texts: Sequence[str], references: Sequence[str], answers: dict[str, list[dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """Yield the sentences whose text or warnings differ between the sides."""
    for k, (text, reference) in enumerate(zip(texts, references, strict=True)):
        shown = {side: [found[k]["text"], found[k].get("warnings") or []] for side, found in answers.items()}
        if shown["before"] != shown["after"]:
            yield {"direction": name, "text": text, "reference": reference, **shown}


def measure_rate(
    sides: Sides, traffic: Traffic, bodies: Sequence[tuple[str, str]], arguments: argparse.Namespace, is_mix: bool
) -> list[Round]:
    """Measure the rates of both sides in turn."""
    seconds, rounds = (arguments.mix_seconds, arguments.mix_rounds) if is_mix else (arguments.seconds, arguments.rounds)
    plan = LoadPlan(traffic, bodies, arguments.clients, seconds, warm_up=1.0)
    return alternate({side: lambda side=side: plan.metrics(sides[side]) for side in sides}, rounds)  # type: ignore[misc]


def requests(texts: Sequence[str], direction: Direction) -> list[tuple[str, str]]:
    """Return the path and the JSON body of a request for each text."""
    fields = {"source": direction.source, "target": direction.target}
    return [("/v1/translate", json.dumps({"text": text, **fields})) for text in texts]


def rate_figures(rounds: list[Round]) -> dict[str, float]:
    """Return the medians of both sides and the ratio."""
    return {
        "before_per_second": median(rounds, "before", "per_second"),
        "after_per_second": median(rounds, "after", "per_second"),
        "rate_ratio": ratio(rounds, "after", "before", "per_second"),
    }


def compare(direction: Direction, sides: Sides, traffic: Traffic, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of a direction, flat, and the sentences that differ under `differences`."""
    pairs = read_pairs(TEST_SET, direction, arguments.data) or []
    texts, references = ([pair[k] for pair in pairs[: arguments.rows]] for k in (0, 1))
    row: dict[str, Any] = {"direction": f"{direction.source}-{direction.target}", "rows": len(texts)}
    if arguments.rates:
        return row | rate_figures(measure_rate(sides, traffic, requests(texts, direction), arguments, is_mix=False))
    found = {side: translate(running, texts, direction) for side, running in sides.items()}
    for side, (answers, tokens) in found.items():
        row |= {f"{side}_{name}": value for name, value in quality(answers, tokens, references).items()}
    row["signature"] = row.pop("before_signature")
    row.pop("after_signature")
    row["bleu_difference"] = row["after_bleu"] - row["before_bleu"]
    changed = list(differences(row["direction"], texts, references, {side: one for side, (one, _) in found.items()}))
    row["changed_percent"] = 100 * sum(one["before"][0] != one["after"][0] for one in changed) / len(texts)
    if arguments.rounds:
        row |= rate_figures(measure_rate(sides, traffic, requests(texts, direction), arguments, is_mix=False))
    return row | {"differences": changed}


def compare_mix(sides: Sides, traffic: Traffic, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the rates and the generated tokens of the mix of benchmarks/http/translate.py, English to German."""
    direction = Direction(source="en", target="de", prefix=[])
    texts = sentences(arguments.data, PARALLEL, ["en", "de"], "en", MIX_TEXTS)
    row: dict[str, Any] = {"direction": "mix en-de", "rows": len(texts)}
    for side, running in [] if arguments.rates else list(sides.items()):
        answers, tokens = translate(running, texts[:MIX_QUALITY], direction)
        row[f"{side}_tokens"] = tokens
        row[f"{side}_warned_percent"] = 100 * sum(bool(one.get("warnings")) for one in answers) / len(answers)
    return row | rate_figures(measure_rate(sides, traffic, requests(texts, direction), arguments, is_mix=True))


def line(row: dict[str, Any]) -> str:
    """Return the figures of a direction as a line of text."""
    return "  ".join(f"{name} {value:.2f}" if isinstance(value, float) else str(value) for name, value in row.items())


def main(words: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(words)
    notes = busy_note()
    models = {side: arguments.model or getattr(arguments, side) / MODEL for side in ("before", "after")}
    offered = {f"{one.source}-{one.target}": one for one in read_artifact(models["after"]).manifest.directions}
    names = [] if arguments.rates and not arguments.rounds else arguments.direction or offered
    directions = [offered[name] for name in names]
    settings: dict[str, Any] = {"ATTENDANT_REQUEST_TIMEOUT_SECONDS": TIMEOUT}
    rows = []
    with ExitStack() as stack:
        traffic = stack.enter_context(Traffic())
        sides = {
            side: stack.enter_context(attendant_server([model], getattr(arguments, side), **settings))
            for side, model in models.items()
        }
        for direction in directions:
            row = compare(direction, sides, traffic, arguments)
            changed = row.pop("differences", [])
            if arguments.differences:
                with arguments.differences.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in changed)
            rows.append(row)
            sys.stdout.write(line(row) + "\n")
            sys.stdout.flush()
        if arguments.mix_rounds:
            rows.append(compare_mix(sides, traffic, arguments))
            sys.stdout.write(line(rows[-1]) + "\n")
    if arguments.json:
        what = "Two checkouts compared: BLEU, warnings, tokens and rates of plain sentences over HTTP"
        write_figures(arguments.json, what, rows, notes=notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())

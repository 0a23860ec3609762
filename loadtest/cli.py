"""Command line of `python -m loadtest`. Exit status: 0 all right, 1 something failed, 2 the load could not begin."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from locust.util.timespan import parse_timespan

from loadtest import report as reports
from loadtest.checks import AnswerError
from loadtest.clauses import CLAUSES
from loadtest.client import (
    Bench,
    Endpoint,
    NotReadyError,
    Server,
    answers_alone,
    classify_endpoint,
    served_models,
    translate_endpoint,
)
from loadtest.corpus import ORIGIN, TextsError, generate, read
from loadtest.run import Load, Outcome, drive

TASKS = ("translate", "classify")
MOST_SPAWNED_PER_S = 100


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m loadtest", description="Load a running service, check every answer.")
    top.add_argument("--url", type=base_url, default="http://127.0.0.1:8000", help="default: %(default)s")
    top.add_argument("--key", help="an API key, where the service needs one")
    top.add_argument("--users", type=positive, default=32, help="users at the same time (default: %(default)s)")
    top.add_argument("--duration", type=seconds, default="60s", help="such as 90, 60s, 5m (default: %(default)s)")
    top.add_argument("--spawn-rate", type=positive, help="users a second to begin with (default: all in a second)")
    top.add_argument("--only", choices=TASKS, help="leave the other task out (default: both)")
    top.add_argument("--source", default="de", help="language to translate from (default: %(default)s)")
    top.add_argument("--target", default="en", help="language to translate to (default: %(default)s)")
    top.add_argument("--texts", type=Path, metavar="FILE", help="one text a line (default: built-in sentences)")
    top.add_argument("--pool", type=positive, default=128, help="distinct texts an endpoint (default: %(default)s)")
    top.add_argument("--seed", type=int, default=1, help="same seed, same texts (default: %(default)s)")
    top.add_argument("--report", type=Path, metavar="DIR", help="write report.html, report.json and table.md there")
    return top


def positive(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number from 1 on")
    return int(value)


def seconds(value: str) -> int:
    try:
        span = parse_timespan(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{value!r} is not a time such as 90, 60s or 5m") from error
    if span < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is less than a second")
    return span


def base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise argparse.ArgumentTypeError(f"{value!r} is not a URL such as http://127.0.0.1:8000")
    return value.rstrip("/")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def pools(arguments: argparse.Namespace, tasks: Sequence[str]) -> dict[str, list[str]]:
    """The texts of each task: one language for the translator, every language we have for the classifier."""
    languages = {"translate": [arguments.source], "classify": list(CLAUSES)}
    chosen: dict[str, list[str]] = {}
    for task in tasks:
        rng = Random(f"{arguments.seed} {task}")
        if arguments.texts:
            chosen[task] = read(arguments.texts, arguments.pool, rng)
        else:
            chosen[task] = generate(languages[task], arguments.pool, rng)
    return chosen


def endpoints(server: Server, arguments: argparse.Namespace, tasks: Sequence[str]) -> dict[str, Endpoint]:
    models = served_models(server)
    return {
        task: translate_endpoint(models, arguments.source, arguments.target)
        if task == "translate"
        else classify_endpoint(models)
        for task in tasks
    }


def ask_alone(server: Server, asked: dict[str, Endpoint], texts: dict[str, list[str]]) -> list[Bench]:
    benches = []
    for task, endpoint in asked.items():
        began = time.perf_counter()
        benches.append(answers_alone(server, endpoint, texts[task]))
        took = time.perf_counter() - began
        say(f"{endpoint.path} ({endpoint.options['model']}): {len(texts[task])} texts, each alone, in {took:.1f} s")
    return benches


def assemble(arguments: argparse.Namespace, load: Load, benches: Sequence[Bench], outcome: Outcome) -> dict[str, Any]:
    texts = [text for bench in benches for text in bench.texts]
    recorder = outcome.recorder
    return {
        "passed": recorder.passed() and not outcome.errors,
        "loop": "closed",
        "load": asdict(load),
        "measured_s": round(recorder.seconds, 3),
        "models": {bench.endpoint.path: bench.endpoint.options for bench in benches},
        "pool": {
            "texts": len(benches[0].texts),
            "mean_words": round(sum(len(text.split()) for text in texts) / len(texts), 1),
            "origin": f"lines of {arguments.texts.name}" if arguments.texts else ORIGIN,
        },
        "host": reports.host_facts(),
        "generator_was_busy": outcome.generator_was_busy,
        "endpoints": recorder.figures(),
        "failures_before": recorder.failures_before,
        "messages": dict(recorder.messages.most_common()),
        "errors": list(outcome.errors),
    }


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    tasks = (arguments.only,) if arguments.only else TASKS
    if arguments.users < len(tasks):
        parser().error(f"--users {arguments.users} cannot play {len(tasks)} parts: take more, or --only one of them")
    say(f"loading {arguments.url}")
    server = Server(arguments.url, arguments.key)
    try:
        texts = pools(arguments, tasks)
        asked = endpoints(server, arguments, tasks)
    except (TextsError, NotReadyError) as error:
        sys.stderr.write(f"loadtest: {error}\n")
        return 2
    try:
        benches = ask_alone(server, asked, texts)
    except AnswerError as error:
        sys.stderr.write(f"loadtest: {error}\n")
        return 1
    spawn_rate = arguments.spawn_rate or min(arguments.users, MOST_SPAWNED_PER_S)
    load = Load(arguments.url, arguments.users, spawn_rate, arguments.duration, arguments.seed)
    outcome = drive(load, benches, server.headers)
    report = assemble(arguments, load, benches, outcome)
    if arguments.report:
        reports.write(arguments.report, report, outcome.html)
    say(f"\n{reports.table(report)}")
    sys.stderr.write(reports.failures(report))
    return 0 if report["passed"] else 1

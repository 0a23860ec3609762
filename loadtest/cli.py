"""Command line of `python -m loadtest`. Exit status: 0 success, 1 a check failed, 2 the load could not start."""

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
    Endpoint,
    NotReadyError,
    Server,
    Workload,
    classify_endpoint,
    record_expected_answers,
    served_models,
    translate_endpoint,
)
from loadtest.corpus import ORIGIN, CorpusError, generate, read
from loadtest.run import Load, Outcome, run_load

TASKS = ("translate", "classify")
MAX_SPAWN_RATE = 100  # users per second


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m loadtest", description="Load a running service, check every answer.")
    top.add_argument("--url", type=base_url, default="http://127.0.0.1:8000", help="default: %(default)s")
    top.add_argument("--key", help="API key, if the service needs one")
    top.add_argument("--users", type=positive, default=32, help="concurrent users (default: %(default)s)")
    top.add_argument("--duration", type=seconds, default="60s", help="for example 90, 60s or 5m (default: %(default)s)")
    top.add_argument("--spawn-rate", type=positive, help="users started per second (default: all in a second)")
    top.add_argument("--only", choices=TASKS, help="test one task only (default: both)")
    top.add_argument("--source", default="de", help="language to translate from (default: %(default)s)")
    top.add_argument("--target", default="en", help="language to translate to (default: %(default)s)")
    top.add_argument("--texts", type=Path, metavar="FILE", help="one text per line (default: built-in sentences)")
    top.add_argument("--pool", type=positive, default=128, help="distinct texts per endpoint (default: %(default)s)")
    top.add_argument("--seed", type=int, default=1, help="of the texts and their order (default: %(default)s)")
    top.add_argument(
        "--report", type=Path, metavar="DIR", help="write report.json, report.html, table.md, chart.svg there"
    )
    return top


def positive(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number of at least 1")
    return int(value)


def seconds(value: str) -> int:
    try:
        span = parse_timespan(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{value!r} is not a duration such as 90, 60s or 5m") from error
    if span < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is less than a second")
    return span


def base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise argparse.ArgumentTypeError(f"{value!r} is not a URL such as http://127.0.0.1:8000")
    return value.rstrip("/")


def print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def text_pools(arguments: argparse.Namespace, tasks: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts of each task: the source language for translation, all built-in languages for classification."""
    languages = {"translate": [arguments.source], "classify": list(CLAUSES)}
    pools: dict[str, list[str]] = {}
    for task in tasks:
        rng = Random(f"{arguments.seed} {task}")
        if arguments.texts:
            pools[task] = read(arguments.texts, arguments.pool, rng)
        else:
            pools[task] = generate(languages[task], arguments.pool, rng)
    return pools


def find_endpoints(server: Server, arguments: argparse.Namespace, tasks: Sequence[str]) -> dict[str, Endpoint]:
    models = served_models(server)
    return {
        task: translate_endpoint(models, arguments.source, arguments.target)
        if task == "translate"
        else classify_endpoint(models)
        for task in tasks
    }


def record_workloads(server: Server, endpoints: dict[str, Endpoint], texts: dict[str, list[str]]) -> list[Workload]:
    workloads = []
    for task, endpoint in endpoints.items():
        started = time.perf_counter()
        workloads.append(record_expected_answers(server, endpoint, texts[task]))
        elapsed = time.perf_counter() - started
        count, model = len(texts[task]), endpoint.options["model"]
        print_line(f"{endpoint.path} ({model}): {count} texts, each sent alone, in {elapsed:.1f} s")
    return workloads


def build_report(
    arguments: argparse.Namespace, load: Load, workloads: Sequence[Workload], outcome: Outcome
) -> dict[str, Any]:
    texts = [text for workload in workloads for text in workload.texts]
    recorder = outcome.recorder
    return {
        "passed": recorder.passed() and not outcome.errors,
        "loop": "closed",
        "load": asdict(load),
        "measured_s": round(recorder.seconds, 3),
        "models": {workload.endpoint.path: workload.endpoint.options for workload in workloads},
        "pool": {
            "texts": len(workloads[0].texts),
            "mean_words": round(sum(len(text.split()) for text in texts) / len(texts), 1),
            "origin": f"lines of {arguments.texts.name}" if arguments.texts else ORIGIN,
        },
        "host": reports.host_facts(),
        "generator_was_busy": outcome.generator_was_busy,
        "endpoints": recorder.summaries(),
        "timelines": recorder.timelines(),
        "failures_before": recorder.failures_before,
        "messages": dict(recorder.messages.most_common()),
        "errors": list(outcome.errors),
    }


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    tasks = (arguments.only,) if arguments.only else TASKS
    if arguments.users < len(tasks):
        parser().error(
            f"--users {arguments.users} is below {len(tasks)}, the number of tasks: use more, or --only one task"
        )
    print_line(f"testing {arguments.url}")
    server = Server(arguments.url, arguments.key)
    try:
        texts = text_pools(arguments, tasks)
        endpoints = find_endpoints(server, arguments, tasks)
    except (CorpusError, NotReadyError) as error:
        sys.stderr.write(f"loadtest: {error}\n")
        return 2
    try:
        workloads = record_workloads(server, endpoints, texts)
    except AnswerError as error:
        sys.stderr.write(f"loadtest: {error}\n")
        return 1
    spawn_rate = arguments.spawn_rate or min(arguments.users, MAX_SPAWN_RATE)
    load = Load(arguments.url, arguments.users, spawn_rate, arguments.duration, arguments.seed)
    outcome = run_load(load, workloads, server.headers)
    report = build_report(arguments, load, workloads, outcome)
    if arguments.report:
        reports.write(arguments.report, report)
    print_line(f"\n{reports.table(report)}")
    sys.stderr.write(reports.failures(report))
    return 0 if report["passed"] else 1

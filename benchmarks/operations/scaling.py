"""From one measured instance to a hundred simulated ones: throughput, latency behind a balancer, and what it costs.

    python -m benchmarks.operations.scaling [--artifact ARTIFACT] [--data DATA] [--dollars 0.0816] [--json FILE]

First one instance on one core is measured: how many sentences a second it completes with how many in flight, by closed
loops of single sentences. Then bursty requests of one to forty sentences are sent to it at two loads, to see whether
the simulation of one instance is right. From the measured rates follow simulations of many instances
(simulation.py), and the cost of a million words beside price lists.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.common.figures import write_figures
from benchmarks.common.texts import PARALLEL, sentences
from benchmarks.http.load_generator import HttpLoad, Traffic
from benchmarks.http.overload import halves, pinned
from benchmarks.http.servers import RunningServer, attendant_server
from benchmarks.operations.instance import exit_at_sigterm
from benchmarks.operations.simulation import Curve, Outcome, Workload, balancers, least_loaded, simulate
from loadtest.client import Server

MODEL = Path("models/translate-en-de-fr-es")
FIELDS = {"source": "en", "target": "de"}
TEXTS = 512
IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64)
SENTENCES = ((1, 0.8), (8, 0.15), (40, 0.05))  # of a request, and the share of such requests
CHECKED_LOADS = (0.4, 0.7)
LOADS = (0.5, 0.6, 0.7, 0.8)  # of the mean rate to the highest one
LOAD = 0.6  # of the comparisons of numbers of instances and of balancers
INSTANCES = (1, 3, 10, 30, 100)
SECONDS = 60.0  # that are simulated
THREADS = 64
# Dollars for a million characters: https://cloud.google.com/translate/pricing (neural model), and DeepL API Pro.
PRICE_LISTS = {"Google Cloud Translation": 20.0, "DeepL API Pro": 25.0}
DOLLARS_PER_HOUR = 0.0816 / 2  # of a core: m7g.large on demand, us-east-1, June 2026


def bodies(texts: Sequence[str], count: int, rng: random.Random) -> str:
    return json.dumps({"text": rng.choices(texts, k=count), **FIELDS})


def measure_curve(
    running: RunningServer, traffic: Traffic, texts: Sequence[str], seconds: float
) -> list[tuple[int, float]]:
    """Return the sentences completed a second with so many in flight."""
    requests = [("/v1/translate", json.dumps({"text": text, **FIELDS})) for text in texts]
    return [
        (clients, traffic.send(HttpLoad(running.port, requests, clients, seconds / 3, seconds)).per_second)
        for clients in IN_FLIGHT
    ]


def replay(
    running: RunningServer, workload: Workload, per_second: float, seconds: float, texts: Sequence[str]
) -> Outcome:
    """Send bursty requests to a real instance; latencies count from when a request was due."""
    server, rng, outcome = Server(f"http://127.0.0.1:{running.port}"), random.Random(2), Outcome()
    started = time.perf_counter()

    def send(due: float, body: str) -> tuple[int, float]:
        status, _ = server.request("/v1/translate", json.loads(body), timeout=60)
        return status, time.perf_counter() - started - due

    with ThreadPoolExecutor(THREADS) as pool:
        answers = []
        for due, count, _ in workload.arrivals(per_second, seconds, random.Random(1)):
            body = bodies(texts, count, rng)
            time.sleep(max(0.0, due - (time.perf_counter() - started)))
            answers.append(pool.submit(send, due, body))
        for answer in answers:
            status, latency = answer.result()
            outcome.refused += status != 200
            outcome.latencies += [latency] if status == 200 else []
    return outcome


def row(outcome: Outcome, **conditions: Any) -> dict[str, Any]:
    latencies = {f"p{percent}_ms": round(outcome.percentile_ms(percent), 1) for percent in (50, 95, 99)}
    return {**conditions, **latencies, "refused_percent": round(100 * outcome.refused_share, 2)}


def check(
    running: RunningServer, curve: Curve, workload: Workload, texts: Sequence[str], seconds: float
) -> list[dict[str, Any]]:
    """Return what one real instance and the simulated one do under equal arrivals."""
    rows = []
    for load in CHECKED_LOADS:
        per_second = load * curve[-1][1] / workload.mean_sentences
        real = replay(running, workload, per_second, seconds, texts)
        simulated = simulate(curve, 1, per_second, workload, seconds, warm_up=0.0)
        rows += [row(real, what="measured", load=load), row(simulated, what="simulated", load=load)]
    return rows


def simulations(curve: Curve, workload: Workload, seconds: float) -> list[dict[str, Any]]:
    """Return a row for each simulation."""
    peak, rows = curve[-1][1], []

    def run(instances: int, load: float, name: str = "least loaded") -> None:
        per_second = load * instances * peak / workload.mean_sentences
        outcome = simulate(curve, instances, per_second, workload, seconds, balancers().get(name, least_loaded))
        rate = outcome.sentences / (0.9 * seconds)
        rows.append(row(outcome, instances=instances, balancer=name, load=load, sentences_per_second=round(rate)))
        sys.stderr.write(f"{rows[-1]}\n")

    for instances in INSTANCES:
        run(instances, LOAD)
    for load in LOADS:
        if load != LOAD:
            run(INSTANCES[-1], load)
    for name in balancers():
        if name != "least loaded":
            run(INSTANCES[-1], LOAD, name)
    return rows


def costs(curve: Curve, texts: Sequence[str], dollars_per_hour: float) -> list[dict[str, Any]]:
    """Return dollars for a million words: of a core at a load of LOAD, and of the price lists."""
    words = statistics.mean(len(text.split()) for text in texts)
    characters = statistics.mean(map(len, texts)) / words
    own = dollars_per_hour / 3600 / (LOAD * curve[-1][1] * words) * 1e6
    rows = [{"service": f"Attendant, a core at a load of {LOAD:g}", "dollars": round(own, 3)}]
    for name, price in PRICE_LISTS.items():
        rows.append({"service": name, "dollars": round(price * characters, 2)})
    return rows


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, default=MODEL)
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora; without the folder, generated texts")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of each measured load; a check takes six times that"
    )
    parser.add_argument("--dollars", type=float, default=DOLLARS_PER_HOUR, help="for a core and an hour")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args(words)
    exit_at_sigterm()
    texts = sentences(options.data, PARALLEL, ["en", "de"], "en", TEXTS)
    lengths = sorted(len(text) for text in texts)[:: TEXTS // 32]
    workload = Workload(SENTENCES, [length / statistics.mean(lengths) for length in lengths])
    ours, theirs = halves()
    server = attendant_server([options.artifact])
    with pinned(theirs), Traffic() as traffic, pinned(ours), server as running, pinned(theirs):
        curve = measure_curve(running, traffic, texts, options.seconds)
        checked = check(running, curve, workload, texts, 6 * options.seconds)
    for one in checked:
        sys.stderr.write(f"{one}\n")
    rows = simulations(curve, workload, SECONDS)
    measured = [{"in_flight": count, "sentences_per_second": round(rate, 1)} for count, rate in curve]
    cost = costs(curve, texts, options.dollars)
    sys.stdout.write(json.dumps({"measured": measured, "check": checked, "cost": cost}, indent=1) + "\n")
    if options.json:
        sections = {"measured": measured, "check": checked, "simulated": rows, "cost": cost}
        rows = [{"section": name, **one} for name, section in sections.items() for one in section]
        write_figures(options.json, "instances behind a balancer, simulated from a measured one", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())

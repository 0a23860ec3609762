"""Induce a fault for each alert, and see it fire in a real Prometheus that scrapes the real service.

    python -m benchmarks.operations.alerts [models/*] [--factor 20] [--only NAME ...] [--json FILE]

Each fault has a service and a Prometheus of its own. The alerts are those of deploy/prometheus/rules.yml; their times
are divided by the factor, thresholds are as they are. Exits with status 1 if an alert does not fire, if one fires that
has nothing to do with the fault, if ordinary traffic fires any, or if a metric is not scraped. Needs Prometheus
(Debian: `prometheus`).
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from benchmarks.common.figures import write_figures
from benchmarks.operations.alert_faults import FAULTS, Fault, induced
from benchmarks.operations.instance import Instance, exit_at_sigterm
from benchmarks.operations.prometheus import RULES, compress, longest_seconds, running_prometheus

FACTOR = 20.0
RESERVE_SECONDS = 30.0  # beyond what the rules need


def measure(fault: Fault, artifacts: Sequence[Path], rules: str) -> Iterator[dict[str, Any]]:
    """Induce a fault until its alerts fire; yield a row for each of them, or for ordinary traffic one."""
    longest = longest_seconds(rules)
    with ExitStack() as stack:
        instance = stack.enter_context(Instance(artifacts, **fault.settings))
        fault.prepare(instance.models)
        instance.start()
        targets = [f"127.0.0.1:{instance.port}"] if fault.scraped else []
        prometheus = stack.enter_context(running_prometheus(targets, rules))
        if fault.scraped and not prometheus.wait(lambda: bool(prometheus.series()), RESERVE_SECONDS):
            raise RuntimeError("Prometheus has scraped nothing")
        started, fired, others = time.monotonic(), dict[str, float](), set[str]()
        stack.enter_context(induced(fault, instance))
        seconds = longest + RESERVE_SECONDS if fault.alerts else longest

        def all_fire() -> bool:
            for name in prometheus.firing():
                if name in fault.alerts:
                    fired.setdefault(name, time.monotonic() - started)
                else:
                    others.add(name)
            return bool(fault.alerts) and len(fired) == len(fault.alerts)

        prometheus.wait(all_fire, seconds)
        series = len(prometheus.series())
        instance.end()  # before the clients, which wait for their answers
    wrong = sorted(others - set(fault.may_fire))
    for name in fault.alerts or ("",):
        yield {
            "fault": fault.name,
            "alert": name or "none",
            "fired_after_s": round(fired[name], 1) if name in fired else None,
            "others": ", ".join(sorted(others)),
            "unexpected": ", ".join(wrong),
            "series": series,
            "right": (name in fired or not name) and not wrong,
        }


def kept_rows(path: Path, measured: set[str]) -> list[dict[str, Any]]:
    """Return the rows of a file whose faults exist and were not measured again."""
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["rows"]
    return [row for row in rows if row["fault"] in {fault.name for fault in FAULTS} - measured]


def write(path: Path, rows: list[dict[str, Any]], factor: float) -> None:
    """Write the rows, with those of the file whose faults were not induced again, in the order of the faults."""
    everything = rows + (kept_rows(path, {row["fault"] for row in rows}) if path.exists() else [])
    order = [fault.name for fault in FAULTS]
    everything.sort(key=lambda row: order.index(row["fault"]))
    notes = f"times of the rules divided by {factor:g}, thresholds as they are"
    write_figures(path, "alerts that an induced fault fires in Prometheus", everything, notes=notes)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="*", type=Path, help="what to serve; default: all of models/")
    parser.add_argument("--factor", type=float, default=FACTOR, help="divides the times of the rules")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        help="induce the faults whose name, or the name of an alert, has one of these",
    )
    parser.add_argument("--json", type=Path, help="write the rows to this file, and keep those of other faults there")
    options = parser.parse_args(words)
    exit_at_sigterm()
    artifacts = options.artifacts or sorted(Path("models").iterdir())
    original = RULES.read_text("utf-8")
    rules = compress(original, options.factor)
    severities = {
        rule["alert"]: (rule["labels"]["severity"], rule.get("for", "0s"))
        for rule in yaml.safe_load(original)["groups"][0]["rules"]
    }
    rows: list[dict[str, Any]] = []
    for fault in FAULTS:
        if not any(only in name for only in options.only for name in (fault.name, *fault.alerts)):
            continue
        for row in measure(fault, artifacts, rules):
            row["severity"], row["for"] = severities.get(row["alert"], ("", ""))
            rows.append(row)
            sys.stdout.write(f"{'ok' if row['right'] else 'WRONG':6}{row}\n")
            sys.stdout.flush()
        if options.json:
            write(options.json, rows, options.factor)
    return int(not all(row["right"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

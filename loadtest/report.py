"""The report: a table for people, the same figures as JSON for scripts, locust's page for the curves."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtest.stats import Figures

MESSAGES_SHOWN = 10
COLUMNS = (
    "endpoint",
    "requests",
    "failures",
    "requests/s",
    "texts/s",
    "target tokens/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "max ms",
    "queue ms (share)",
    "compute ms (share)",
)
NOTE = (
    "Closed loop: each user sends its next request when the answer to the last has come, so latencies are those of "
    "this many users and the rate is what they could get. Rates, latencies and times are of right answers only, after "
    "all users were there; shares are of the latency which the client saw."
)


def host_facts() -> dict[str, Any]:
    """The machine that made the load (and the service's, when the URL is a loopback one)."""
    return {"cores": usable_cores(), "platform": platform.platform(), "python": platform.python_version()}


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def row(endpoint: str, figures: Figures) -> list[str]:
    latency = figures.get("latency_ms", {})
    times = [
        f"{figures[name + '_ms']:.1f} ({figures[name + '_share']:.0%})" if latency else "-"
        for name in ("queue", "compute")
    ]
    return [
        endpoint,
        str(figures["requests"]),
        str(figures["failures"]),
        *(_shown(figures.get(name)) for name in ("requests_per_s", "texts_per_s", "target_tokens_per_s")),
        *(_shown(latency.get(name)) for name in ("p50", "p95", "p99", "max")),
        *times,
    ]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def table(report: Mapping[str, Any]) -> str:
    """Markdown: a row an endpoint, then what one has to know to read it."""
    rows = [row(endpoint, figures) for endpoint, figures in report["endpoints"].items()]
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *rows]
    host, load, pool = report["host"], report["load"], report["pool"]
    facts = [
        f"{load['users']} users, {report['measured_s']:.1f} s measured, {load['url']}, seed {load['seed']}.",
        f"{pool['texts']} texts an endpoint, {pool['mean_words']} words on average: {pool['origin']}.",
        f"Load made on {host['cores']} cores, {host['platform']}, Python {host['python']}.",
    ]
    if report["generator_was_busy"]:
        facts.append("The load generator was short of CPU: part of the latency is its own.")
    if report["failures_before"]:
        facts.append(f"{report['failures_before']} more failures while the users were coming.")
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return text + "\n\n" + NOTE + "\n\n" + "\n".join(f"- {fact}" for fact in facts) + "\n"


def failures(report: Mapping[str, Any]) -> str:
    """The most frequent failures, each with its count; empty when there is none."""
    messages = list(report["messages"].items())
    lines = [f"{times} x {message}" for message, times in messages[:MESSAGES_SHOWN]]
    if len(messages) > MESSAGES_SHOWN:
        lines.append(f"and {len(messages) - MESSAGES_SHOWN} more kinds of failure")
    return "".join(f"{line}\n" for line in lines)


def write(folder: Path, report: Mapping[str, Any], html: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(html, encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(table(report), encoding="utf-8")

"""The report of a load test: a table for people, JSON for scripts, a chart, and an HTML page of one file."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtest.charts.report import bullets, html_report, html_table, paragraph, section
from loadtest.charts.timelines import chart
from loadtest.stats import Summary

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
    "Closed loop: each user sends its next request after the response to the previous one, so latency and rate are "
    "those of this number of users. Rates, latencies and times count correct responses only, from when all users have "
    "started; shares are shares of the latency that the client measured."
)


def host_facts() -> dict[str, Any]:
    """Describe the machine of the load test, which is the service's too if the URL is a loopback address."""
    return {"cores": usable_cores(), "platform": platform.platform(), "python": platform.python_version()}


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def row(endpoint: str, summary: Summary) -> list[str]:
    latency = summary.get("latency_ms", {})
    times = [
        f"{summary[name + '_ms']:.1f} ({summary[name + '_share']:.0%})" if latency else "-"
        for name in ("queue", "compute")
    ]
    return [
        endpoint,
        str(summary["requests"]),
        str(summary["failures"]),
        *(_format(summary.get(name)) for name in ("requests_per_s", "texts_per_s", "target_tokens_per_s")),
        *(_format(latency.get(name)) for name in ("p50", "p95", "p99", "max")),
        *times,
    ]


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def table(report: Mapping[str, Any]) -> str:
    """Return a Markdown table with a row per endpoint, then the conditions of the measurement."""
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *_rows(report)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return text + "\n\n" + NOTE + "\n\n" + "\n".join(f"- {fact}" for fact in _facts(report)) + "\n"


def _rows(report: Mapping[str, Any]) -> list[list[str]]:
    return [row(endpoint, summary) for endpoint, summary in report["endpoints"].items()]


def _facts(report: Mapping[str, Any]) -> list[str]:
    """Return the conditions of the measurement."""
    host, load, pool = report["host"], report["load"], report["pool"]
    facts = [
        f"{load['users']} users, {report['measured_s']:.1f} s measured, {load['url']}, seed {load['seed']}.",
        f"{pool['texts']} texts per endpoint, {pool['mean_words']} words on average: {pool['origin']}.",
        f"Load test on {host['cores']} cores, {host['platform']}, Python {host['python']}.",
    ]
    if report["generator_was_busy"]:
        facts.append("The load generator lacked CPU time: part of the latency is its own.")
    if report["failures_before"]:
        facts.append(f"{report['failures_before']} more failures while the users were starting.")
    return facts


def html(report: Mapping[str, Any]) -> str:
    """Return the report as an HTML page with its chart, small enough to attach to a message."""
    sections = [
        section("Over time", f"<div class=scroll>{chart(report['timelines'], styled=False)}</div>"),
        section("Endpoints", html_table(COLUMNS, _rows(report)), paragraph(NOTE)),
        section("Conditions", bullets(_facts(report))),
    ]
    if report["messages"]:
        sections.insert(0, section("Failures", bullets(failures(report).splitlines())))
    return html_report(f"Load test of {report['load']['url']}: {'passed' if report['passed'] else 'failed'}", sections)


def failures(report: Mapping[str, Any]) -> str:
    """Return the most frequent failures with their counts, one per line."""
    messages = list(report["messages"].items())
    lines = [f"{times} x {message}" for message, times in messages[:MESSAGES_SHOWN]]
    if len(messages) > MESSAGES_SHOWN:
        lines.append(f"and {len(messages) - MESSAGES_SHOWN} more kinds of failure")
    return "".join(f"{line}\n" for line in lines)


def write(folder: Path, report: Mapping[str, Any]) -> None:
    """Write report.json, table.md, chart.svg and report.html."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(html(report), encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(table(report), encoding="utf-8")
    (folder / "chart.svg").write_text(chart(report["timelines"]), encoding="utf-8")

"""Audit the page at `/` in a real Chromium, with the shipped models: accessibility, first paint, times, sizes, costs.

python -m benchmarks.page.audit [--parts times checks] [--rounds 20] [--seconds 10] [--json FILE]

axe-core and Lighthouse are installed from npm into a temporary folder; without npm these two are left out.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from benchmarks.common.figures import commit, write_figures
from benchmarks.common.processes import cpu_seconds
from benchmarks.page.browser import ARGUMENTS, VIEWS, chromium, find_chromium, open_page, service, show
from service.http.start_page import FOLDER

SERIOUS = {"serious", "critical"}
ORDER = ["size", "times", "checks"]
TYPED = ("Where is the station", "I have a big dog", "She reads a book today", "My brother lives in London")
KEY_DELAY = 40  # milliseconds between two keys
# Milliseconds from the last key to the first words of the translation on the screen.
MEASURE = """() => new Promise((resolve) => {
  const output = document.getElementById("output");
  const last = { at: 0 };
  document.getElementById("text").addEventListener("keydown", () => (last.at = performance.now()));
  window.sinceLastKey = () => new Promise((done) => {
    const look = () => {
      const shown = output.textContent.trim() && !output.classList.contains("stale");
      if (shown) requestAnimationFrame(() => done(performance.now() - last.at));
      else requestAnimationFrame(look);
    };
    look();
  });
  resolve();
})"""


def npm_install(folder: Path, *packages: str) -> bool:
    """Install packages into a folder; return whether that was possible."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *packages]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def axe(browser: Browser, url: str, script: str) -> list[dict[str, Any]]:
    """Return the violations that axe-core finds in every view, light and dark, on a desktop and on a phone."""
    found = []
    for dark in (False, True):
        for phone in (False, True):
            page = open_page(browser, dark, phone)
            for view in VIEWS:
                show(page, url, view)
                for summary in page.locator("main details > summary:visible").all():
                    summary.click()
                page.evaluate(script)
                violations = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")["violations"]
                where = f"{view}, {'dark' if dark else 'light'}, {'phone' if phone else 'desktop'}"
                for one in violations:
                    nodes = [node["html"][:160] for node in one["nodes"]]
                    found.append({"where": where, "impact": one["impact"], "rule": one["id"], "nodes": nodes})
            page.context.close()
    return found


def lighthouse(modules: Path, url: str) -> dict[str, float]:
    """Return Lighthouse's scores, from 0 to 100; empty if it does not run."""
    report = modules / "report.json"
    command = [
        str(modules / ".bin" / "lighthouse"), f"{url}/", "--output=json", f"--output-path={report}",
        "--quiet", f"--chrome-flags=--headless=new {' '.join(ARGUMENTS)}",
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, env=os.environ | {"CHROME_PATH": find_chromium()}, check=False)
    if run.returncode or not report.is_file():
        sys.stderr.write(f"Lighthouse did not run: {run.stderr.decode(errors='replace')[-300:]}\n")
        return {}
    categories = json.loads(report.read_text("utf-8"))["categories"]
    return {name: 100 * one["score"] for name, one in categories.items() if one["score"] is not None}


def typing(browser: Browser, url: str, rounds: int) -> list[float]:
    """Return the milliseconds from the last key to the translation on the screen, of each round."""
    page = open_page(browser)
    page.goto(f"{url}/#translate?from=en&to=de")
    page.locator("#target option").first.wait_for(state="attached")
    page.evaluate(MEASURE)
    times = []
    for round_ in range(rounds):
        page.fill("#text", "")
        page.locator("#output .placeholder").wait_for()
        page.locator("#text").press_sequentially(TYPED[round_ % len(TYPED)], delay=KEY_DELAY)
        times.append(float(page.evaluate("() => sinceLastKey()")))
    page.context.close()
    return times


def idle_cost(page: Page | None, pid: int, seconds: float, browser: Browser) -> float:
    """Return the CPU time that the service takes a second, in milliseconds, while nothing is requested."""
    timer = page or open_page(browser)
    before = cpu_seconds(pid)
    timer.wait_for_timeout(1000 * seconds)
    cost = 1000 * (cpu_seconds(pid) - before) / seconds
    if page is None:
        timer.context.close()
    return cost


def costs(browser: Browser, url: str, pid: int, seconds: float) -> dict[str, float]:
    """Return the CPU time of the idle service in milliseconds a second, by what is open in the browser."""
    found = {"no page": idle_cost(None, pid, seconds, browser)}
    page = open_page(browser)
    for view in ("translate", "live"):
        show(page, url, view)
        page.wait_for_timeout(2000)
        found[view] = idle_cost(page, pid, seconds, browser)
    page.click("#tab-models")
    page.wait_for_timeout(1000)
    found["after live"] = idle_cost(page, pid, seconds, browser)
    page.context.close()
    return found


def sizes() -> dict[str, float]:
    """Return the size of the page."""
    return {"size of all files, kB": round(sum(file.stat().st_size for file in FOLDER.iterdir()) / 1000, 1)}


def times(browser: Browser, url: str, pid: int, rounds: int, seconds: float) -> dict[str, float]:
    """Return how long a translation takes to appear, and what the page costs the service."""
    found = typing(browser, url, rounds)
    rows: dict[str, float] = {
        "last key to translation, median ms": round(statistics.median(found)),
        "last key to translation, slowest ms": round(max(found)),
    }
    for name, cost in costs(browser, url, pid, seconds).items():
        rows[f"CPU of the idle service with {name}, ms a second"] = round(cost, 2)
    return rows


def checks(browser: Browser, url: str, modules: Path) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return the counts of axe-core and the scores of Lighthouse, and all violations."""
    violations = axe(browser, url, (modules / "axe-core" / "axe.min.js").read_text("utf-8"))
    serious = sum(one["impact"] in SERIOUS for one in violations)
    rows: dict[str, float] = {
        "axe-core, serious violations": serious, "axe-core, other violations": len(violations) - serious,
    }  # fmt: skip
    for name, score in lighthouse(modules, url).items():
        rows[f"Lighthouse, {name.replace('-', ' ')}"] = round(score)
    return rows, violations


def merged(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return these rows and, of the file that they replace, those that were not measured this time."""
    new = {row["measure"] for row in rows}
    old = json.loads(path.read_text("utf-8"))["rows"] if path.is_file() else []
    return sorted([*rows, *(row for row in old if row["measure"] not in new)], key=lambda row: ORDER.index(row["part"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=ORDER, default=ORDER, help="what to measure; by default all")
    parser.add_argument("--rounds", type=int, default=20, help="sentences that are typed")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement of the idle service")
    parser.add_argument("--json", type=Path, help="write the results to this file; it keeps those of other parts")
    arguments = parser.parse_args()
    found = {"size": sizes()}
    violations: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, chromium() as browser, service() as (url, pid):
        if "times" in arguments.parts:
            found["times"] = times(browser, url, pid, arguments.rounds, arguments.seconds)
        if "checks" in arguments.parts and npm_install(Path(folder), "axe-core", "lighthouse"):
            found["checks"], violations = checks(browser, url, Path(folder) / "node_modules")
    own = {"measured": datetime.now(UTC).date().isoformat(), "commit": commit()}
    rows = [
        {"part": part, "measure": name, "value": value, **own}
        for part, values in found.items()
        for name, value in values.items()
    ]
    for row in rows:
        sys.stdout.write(f"{row['measure']}: {row['value']}\n")
    for one in violations:
        sys.stdout.write(f"{one['where']}: {one['impact']} {one['rule']}: {' | '.join(one['nodes'][:3])}\n")
    if arguments.json:
        write_figures(arguments.json, "The page in Chromium, with the shipped models", merged(arguments.json, rows))
    return int(any(one["impact"] in SERIOUS for one in violations))


if __name__ == "__main__":
    sys.exit(main())

"""Audit the page at `/` in a real Chromium, with the shipped models: accessibility, first paint, times, sizes, costs.

python -m benchmarks.page.audit [--rounds 20] [--seconds 10] [--json FILE]

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
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from benchmarks.common.figures import write_figures
from benchmarks.common.processes import cpu_seconds
from benchmarks.page.browser import ARGUMENTS, VIEWS, chromium, find_chromium, open_page, service, show
from service.http.start_page import FOLDER

SERIOUS = {"serious", "critical"}
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


def lighthouse(folder: Path, url: str) -> dict[str, float]:
    """Return Lighthouse's scores, from 0 to 100; empty if it does not run."""
    report = folder / "report.json"
    command = [
        str(folder / "node_modules" / ".bin" / "lighthouse"), f"{url}/", "--output=json", f"--output-path={report}",
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="sentences that are typed")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement of the idle service")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = [
        {"measure": "size of all files, kB", "value": round(sum(f.stat().st_size for f in FOLDER.iterdir()) / 1000, 1)}
    ]
    violations: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, chromium() as browser, service() as (url, pid):
        times = typing(browser, url, arguments.rounds)
        rows.append({"measure": "last key to translation, median ms", "value": round(statistics.median(times))})
        rows.append({"measure": "last key to translation, slowest ms", "value": round(max(times))})
        for name, cost in costs(browser, url, pid, arguments.seconds).items():
            rows.append({"measure": f"CPU of the idle service with {name}, ms a second", "value": round(cost, 2)})
        if npm_install(Path(folder), "axe-core", "lighthouse"):
            script = (Path(folder) / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
            violations = axe(browser, url, script)
            serious = [one for one in violations if one["impact"] in SERIOUS]
            rows.append({"measure": "axe-core, serious violations", "value": len(serious)})
            rows.append({"measure": "axe-core, other violations", "value": len(violations) - len(serious)})
            for name, score in lighthouse(Path(folder), url).items():
                rows.append({"measure": f"Lighthouse, {name.replace('-', ' ')}", "value": round(score)})
    for row in rows:
        sys.stdout.write(f"{row['measure']}: {row['value']}\n")
    for one in violations:
        sys.stdout.write(f"{one['where']}: {one['impact']} {one['rule']}: {' | '.join(one['nodes'][:3])}\n")
    if arguments.json:
        write_figures(arguments.json, "The page in Chromium, with the shipped models", rows, violations=violations)
    return int(any(one["impact"] in SERIOUS for one in violations))


if __name__ == "__main__":
    sys.exit(main())

"""The tables that compare speed: over HTTP, without HTTP, and of a document."""

import re
from collections.abc import Callable, Mapping
from functools import partial

from docs.generator.blocks import table
from docs.generator.cells import rate, show, times
from docs.generator.figures import Figures, load

MODES = {"greedy": "greedy, 64 at a time", "beam4": "beam 4, 64 at a time", "single": "greedy, one sentence at a time"}
OURS = "Attendant int8"
BASELINE = "CTranslate2 behind FastAPI"
SYSTEMS = {
    "baseline": f"{BASELINE} with a tuned batcher",
    "unguarded": "Attendant, `ATTENDANT_GUARD=false`",
    "guarded": "Attendant",
    "offline": "Attendant's engine without HTTP",
}


def http(name: str, unit: str, systems: Mapping[str, str] = SYSTEMS) -> str:
    """Return the table of an HTTP benchmark, its ratios, and the caption."""
    figures = load(name)
    headings = ["", f"{unit}s/s", "p50, ms", "p95, ms", f"server CPU, ms a {unit}"]
    rows = [
        [
            systems[row["system"]], rate(row["per_second"]), *(show(row.get(key)) for key in ("p50_ms", "p95_ms")),
            show(row.get("server_cpu_ms")),
        ]
        for row in figures.rows
    ]  # fmt: skip
    return table(headings, rows) + "\n" + ratios(figures) + figures.caption()


def ratios(figures: Figures) -> str:
    """Return a table of the ratios: medians of the rounds' ratios, not ratios of the medians above."""
    names = {"unguarded": "Attendant without quality checks", "guarded": "Attendant", "ours": "Attendant"}
    rows = []
    for key, value in figures.ratios.items():
        for word, name in names.items():
            key = key.replace(f", {word} to", f", {name} to")
        rows.append([key, times(value)])
    return table(["ratio (median of the rounds' ratios)", ""], rows)


def classify() -> str:
    """Return the table of the classification benchmark."""
    systems = {
        "baseline": "transformers behind FastAPI with a tuned batcher",
        "ours": "Attendant",
        "session.run": "bare `session.run`, ideal batches",
    }
    return http("http-classify", "text", systems)


def offline(*names: str) -> str:
    """Return one line per mode: the rate of our int8 artifact, the other systems' rates, and the ratios to ours."""
    files = [load(name) for name in names]
    others = list(dict.fromkeys(system for one in files for system in other_systems(one)))
    rates = [heading for other in others for heading in (f"{other}, /s", "ratio")]
    headings = [*(["machine"] if len(files) > 1 else []), "mode", "sentences", f"{OURS}, /s", *rates]
    rows = []
    for figures in files:
        machine = [re.sub(r"^\d+ cores of (an )?", "", figures.machine.partition(",")[0])] if len(files) > 1 else []
        for ours in (row for row in figures.rows if row["system"] == OURS):
            cells = []
            for other in others:
                row = figures.row(mode=ours["mode"], system=other)
                cells += [
                    rate(row["sentences_per_second"]),
                    times(row["ratios"][OURS]) if OURS in row["ratios"] else "",
                ]
            mode = [MODES[ours["mode"]], str(ours["sentences"]), rate(ours["sentences_per_second"])]
            rows.append([*machine, *mode, *cells])
    return table(headings, rows) + "".join(figures.caption() for figures in files)


def other_systems(figures: Figures) -> list[str]:
    """Return the systems of an offline benchmark that are not ours."""
    return list(dict.fromkeys(row["system"] for row in figures.rows if not row["system"].startswith("Attendant")))


def fp32_offline() -> str:
    figures = load("offline-fp32-base")
    rows = [
        [MODES[row["mode"]], show(row.get("ours")), show(row.get("ctranslate2")), times(row["ratio"])]
        for row in figures.rows
    ]
    return table(["mode", "ours, /s", "CTranslate2, /s", "ratio"], rows) + figures.caption()


def document() -> str:
    figures = load("document")
    names = {
        "at once": "200 sentences in one request",
        "stream": "the same, streamed",
        "in sequence": "one request per sentence, in sequence",
    }
    rows = [
        [names[row["system"]], show(row["seconds"], 3), show(row["per_second"]), f"{row['first']:.4g}"]
        for row in figures.rows
    ]
    return table(["", "seconds", "sentences/s", "seconds to the first sentence"], rows) + figures.caption()


BLOCKS: dict[str, Callable[[], str]] = {
    "http-translate-shipped": partial(http, "http-translate-shipped", "sentence"),
    "http-translate-base": partial(http, "http-translate-base", "sentence"),
    "http-classify": classify,
    "offline-base": partial(offline, "offline-base-xeon", "offline-base-epyc", "offline-base-epyc-128"),
    "offline-shipped": partial(offline, "offline-shipped"),
    "offline-fp32": fp32_offline,
    "document": document,
}

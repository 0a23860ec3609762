"""The few comparisons with other systems that README.md and docs/performance.md begin with: a table, a picture."""

from collections.abc import Callable
from dataclasses import dataclass

from docs.generator.blocks import table
from docs.generator.cells import rate, times
from docs.generator.figures import Figures, load
from docs.generator.speed import BASELINE, OURS, other_systems
from loadtest.charts.bars import bars


@dataclass(frozen=True)
class Comparison:
    """Two systems in one run of a benchmark."""

    what: str
    ours: float  # texts or sentences per second
    other: float
    system: str
    ratio: float


def comparisons() -> list[Comparison]:
    """Return each comparison with the system that it was made with in the same run."""
    classify, base, shipped = load("http-classify"), load("http-translate-base"), load("http-translate-shipped")
    document, offline = load("document"), load("offline-shipped")

    def http(figures: Figures, ours: str, what: str, system: str, ratio: str) -> Comparison:
        mine, other = (figures.row(system=one)["per_second"] for one in (ours, "baseline"))
        return Comparison(what, mine, other, system, figures.ratios[ratio])

    def engine(beginning: str, end: str = "") -> Comparison:
        [system] = [one for one in other_systems(offline) if one.startswith(beginning) and one.endswith(end)]
        ours, other = (offline.row(mode="greedy", system=one) for one in (OURS, system))
        mine, theirs = (one["sentences_per_second"] for one in (ours, other))
        return Comparison(
            "Translation without HTTP, shipped model, int8, greedy", mine, theirs, system, other["ratios"][OURS]
        )

    at_once, alone = (document.row(system=system) for system in ("at once", "in sequence"))
    sentences = "Translation over HTTP, {}, 64 clients"
    return [
        http(
            classify, "ours", "Classification over HTTP, 64 clients", "transformers behind FastAPI",
            "texts/s, ours to baseline",
        ),
        http(
            base, "unguarded", sentences.format("Transformer base shape"), BASELINE,
            "sentences/s, unguarded to baseline",
        ),
        http(
            shipped, "unguarded", sentences.format("shipped model without quality checks"), BASELINE,
            "sentences/s, unguarded to baseline",
        ),
        http(
            shipped, "guarded", sentences.format("shipped model as it runs by default"), BASELINE,
            "sentences/s, guarded to baseline",
        ),
        engine("CTranslate2", "int8"),
        engine("optimum"),
        Comparison(
            "A document of 200 sentences", at_once["per_second"], alone["per_second"],
            "Attendant, one request per sentence", document.ratios["at once to in sequence"],
        ),
    ]  # fmt: skip


def main_figures() -> str:
    """Return the comparisons as a table."""
    rows = [[one.what, rate(one.ours), rate(one.other), one.system, times(one.ratio)] for one in comparisons()]
    return table(["texts or sentences per second", "Attendant", "other", "other system", "ratio"], rows)


def picture() -> str:
    """Return the ratios of the comparisons as bars."""
    groups = {}
    for one in comparisons():
        what, _, detail = one.what.partition(", ")
        groups[f"{what}\n{detail + '; ' if detail else ''}beside {one.system}"] = [one.ratio]
    title = "Texts or sentences a second, as a multiple of the other system's in the same run"
    return bars(title, groups, mark=1.0)


BLOCKS: dict[str, Callable[[], str]] = {"main-figures": main_figures}
PICTURES: dict[str, Callable[[], str]] = {"performance.svg": picture}

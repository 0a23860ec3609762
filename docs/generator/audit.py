"""The table of what the audit of the page measured, with the goals."""

from collections.abc import Callable

from docs.generator.blocks import table
from docs.generator.cells import show
from docs.generator.figures import load

GOALS = {
    "size of all files, kB": "at most 150",
    "last key to translation, median ms": "at most 300",
    "axe-core, serious violations": "0",
    "Lighthouse, performance": "at least 95",
    "Lighthouse, accessibility": "at least 95",
}


def page() -> str:
    figures = load("page")
    rows = [[row["measure"], show(row["value"], 1), GOALS.get(row["measure"], "")] for row in figures.rows]
    return table(["", "measured", "goal"], rows) + figures.caption()


BLOCKS: dict[str, Callable[[], str]] = {"page": page}

"""Cells of the generated tables, and the table of a figures file with one line for each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docs.generator.blocks import table
from docs.generator.figures import load


@dataclass(frozen=True)
class Column:
    """A column of a table: heading, key of the row, and how many digits follow the decimal point."""

    heading: str
    key: str
    digits: int | None = None  # None: the value as it is

    def cell(self, row: Mapping[str, Any]) -> str:
        return show(row.get(self.key), self.digits)


def show(value: object, digits: int | None = None) -> str:
    """Return a cell: empty for None, thousands separated, floats with `digits` or about three significant digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        if digits is not None:
            return f"{value:,.{digits}f}"
        return f"{value:,.0f}" if value >= 100 else f"{round(value, 2):g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def rate(value: float) -> str:
    """Return a rate with a digit after the point if it is a fraction below 1,000."""
    return f"{value:.1f}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}"


def times(value: float) -> str:
    """Return a ratio in bold, with at most two digits after the point."""
    return f"**{round(value, 2):g}**"


def plain(name: str, columns: Sequence[Column]) -> str:
    """Return one line for each row of a figures file, then the caption."""
    figures = load(name)
    rows = ([column.cell(row) for column in columns] for row in figures.rows)
    return table([column.heading for column in columns], rows) + figures.caption()

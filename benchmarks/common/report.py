"""HTML reports of benchmarks: the tables that `--json` writes, as charts and tables in one file to attach to a message.

A table's numbers become bars, a chart for each column; what is not a number is in the table below them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from loadtest.charts.bars import bars
from loadtest.charts.report import html_report, html_table, paragraph, section
from loadtest.charts.style import number
from loadtest.charts.timelines import chart

MAX_BARS = 40  # in a chart; a longer table has none
MAX_CHARTS = 8  # of one table
MAX_ROWS = 500  # of a table
LABELS = 3  # columns of words that name a row
REQUIRED = ("what", "measured", "commit", "machine", "rows")  # of a table
OWN = ("measured", "commit")  # of a row that was measured at another time

Table = Mapping[str, Any]  # as write_figures writes it


def report(title: str, tables: Sequence[Table]) -> str:
    """Return the report of benchmarks as an HTML page."""
    return html_report(title, [_section(table) for table in tables])


def _section(table: Table) -> str:
    rows: list[Mapping[str, Any]] = table["rows"]
    parts = []
    if ratios := {name: [value] for name, value in table.get("ratios", {}).items() if value >= 0}:
        parts.append(_scroll(bars("Ratios (medians of the rounds' ratios)", ratios, mark=1.0, styled=False)))
    if table.get("timelines"):
        parts.append(_scroll(chart(table["timelines"], styled=False)))
    parts += [_scroll(image) for image in _charts(rows)]
    headings = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(heading)) for heading in headings] for row in rows[:MAX_ROWS]]
    parts.append(html_table(headings, cells))
    if len(rows) > MAX_ROWS:
        parts.append(paragraph(f"{len(rows) - MAX_ROWS} more rows are in the JSON file."))
    parts.append(paragraph(_caption(table)))
    return section(table["what"], *parts)


def _charts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a chart for each column of numbers that are not all the same."""
    if not 2 <= len(rows) <= MAX_BARS:
        return []
    words = [key for key in rows[0] if key not in OWN and all(isinstance(row.get(key), str) for row in rows)]
    images = []
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(key) for row in rows]
        known = [value for value in values if _is_number(value)]
        if len(set(known)) < 2 or len(known) + values.count(None) < len(values) or min(known) < 0:
            continue
        groups: dict[str, list[float | None]] = {}
        for place, (row, value) in enumerate(zip(rows, values, strict=True)):
            label = ", ".join(row[word] for word in words[:LABELS]) or f"row {place + 1}"
            groups[label if label not in groups else f"{label} ({place + 1})"] = [value]
        images.append(bars(key.replace("_", " "), groups, styled=False))
    return images[:MAX_CHARTS]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_cell(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(one) for one in value)
    return number(value) if isinstance(value, float) else str(value)


def _caption(table: Table) -> str:
    notes = f"; {table['notes']}" if table.get("notes") else ""
    command = f" Command: {table['command']}" if table.get("command") else ""
    return f"Measured {table['measured']} at {table['commit']} on {table['machine']}{notes}.{command}"


def _scroll(image: str) -> str:
    return f"<div class=scroll>{image}</div>\n"

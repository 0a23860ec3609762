"""HTML reports of one file: charts, tables and text, without scripts and without anything from another host."""

from collections.abc import Sequence
from html import escape

from loadtest.charts.style import COLOURS, FONT, STYLE


def _variables(scheme: int) -> str:
    return "".join(f"--{name}:{colours[scheme]};" for name, colours in COLOURS.items())


PAGE_STYLE = (
    f":root{{color-scheme:light dark;{_variables(0)}}}"
    f"@media (prefers-color-scheme:dark){{:root{{{_variables(1)}}}}}"
    f"body{{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem;font:16px/1.5 {FONT};"
    "background:var(--sunken);color:var(--ink)}"
    "h1{font-size:1.5rem;line-height:1.3;margin:0 0 1rem}h2{font-size:1.125rem;margin:0 0 .75rem}"
    "section{background:var(--ground);border:1px solid var(--line);border-radius:12px;padding:1.25rem;margin:0 0 1rem}"
    "p,ul{color:var(--quiet);font-size:.875rem;margin:.75rem 0 0;overflow-wrap:anywhere}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}"
    "th,td{text-align:start;padding:.375rem 1rem .375rem 0;border-bottom:1px solid var(--line);vertical-align:top}"
    "th{font-weight:600;color:var(--quiet)}td.n,th.n{text-align:end}svg{display:block;max-width:100%;height:auto}"
    "@media print{body{background:none}section{break-inside:avoid}}"
)


def html_report(title: str, sections: Sequence[str]) -> str:
    """Return a report of sections, each of them HTML."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{PAGE_STYLE}{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{''.join(sections)}"
        "</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return a section with a heading; the parts are HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{''.join(parts)}</section>\n"


def paragraph(words: str) -> str:
    """Return text as a paragraph."""
    return f"<p>{escape(words)}</p>\n"


def bullets(lines: Sequence[str]) -> str:
    """Return lines of text as a list."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>\n"


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; cells that begin with a digit are aligned at their end."""

    def cell(tag: str, words: str, numeric: bool) -> str:
        return f"<{tag}{' class=n' if numeric else ''}>{escape(words)}</{tag}>"

    numeric = [all(row[k][:1].isdigit() or row[k] in ("", "-") for row in rows) for k in range(len(headings))]
    head = "".join(cell("th", one, numeric[k]) for k, one in enumerate(headings))
    body = "".join(f"<tr>{''.join(cell('td', one, numeric[k]) for k, one in enumerate(row))}</tr>\n" for row in rows)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"

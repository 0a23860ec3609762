"""HTML reports: one file without scripts or references, in which everything that is given is text."""

import re

from loadtest.charts.bars import bars
from loadtest.charts.report import bullets, html_report, html_table, paragraph, section

HOSTILE = "<script>alert(1)</script>"


def test_report_is_one_file_without_references() -> None:
    chart = bars(HOSTILE, {HOSTILE: [1.0]}, styled=False)
    parts = (chart, paragraph(HOSTILE), bullets([HOSTILE]), html_table([HOSTILE, "n"], [[HOSTILE, "12"]]))
    page = html_report(HOSTILE, [section(HOSTILE, *parts)])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8
    assert not re.search(r"""\b(src|href)=|@import|url\(""", page)
    assert page.count("<style>") == 1
    assert "prefers-color-scheme:dark" in page


def test_columns_of_numbers_are_aligned_at_their_end() -> None:
    table = html_table(["name", "rate"], [["a", "12.5"], ["b", "-"], ["3 c", ""]])
    assert "<th class=n>rate</th>" in table
    assert "<td>3 c</td>" in table

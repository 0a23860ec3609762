"""Reports of benchmarks: every table of the documentation fits in a small file, and what is in a table is text."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.common.report import MAX_CHARTS, report
from benchmarks.report import main

FIGURES = Path(__file__).resolve().parents[3] / "docs" / "figures"
COMMON = {"measured": "2026-01-01", "commit": "abc1234", "machine": "2 cores", "command": "python -m x"}
HOSTILE = "<script>alert(1)</script>"


def images(page: str) -> list[ElementTree.Element]:
    parts = page.split("<svg")[1:]
    return [ElementTree.fromstring("<svg" + part.partition("</svg>")[0] + "</svg>") for part in parts]


def test_all_figures_fit_in_one_small_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(FIGURES.glob("*.json"))
    assert main([*map(str, files), "--output", str(tmp_path / "new" / "report.html")]) == 0
    page = (tmp_path / "new" / "report.html").read_text("utf-8")
    assert "report.html: " in capsys.readouterr().out
    assert len(page) < 400_000
    assert page.count("<section>") == len(files)
    assert not re.search(r"""<script|\b(src|href)=|@import|url\(""", page)
    assert len(images(page)) > len(files)


def test_numbers_become_bars_and_words_their_labels() -> None:
    rows = [{"system": "ours", "per_second": 4.0, "same": 1}, {"system": "theirs", "per_second": 2.0, "same": 1}]
    (ratio, chart) = images(report("r", [{**COMMON, "what": "rates", "rows": rows, "ratios": {"ours to theirs": 2.0}}]))
    assert ratio.attrib["aria-label"].startswith("Ratios")
    assert chart.attrib["aria-label"] == "per second"
    assert {"ours", "theirs"} <= {one.text for one in chart.iter("{http://www.w3.org/2000/svg}text")}


def test_rows_of_the_same_words_have_bars_of_their_own() -> None:
    rows = [{"system": "ours", "n": n} for n in (1, 2)]
    (chart,) = images(report("r", [{**COMMON, "what": "rates", "rows": rows}]))
    assert {"ours", "ours (2)"} <= {one.text for one in chart.iter("{http://www.w3.org/2000/svg}text")}


def test_table_that_cannot_be_drawn_is_a_table_only() -> None:
    rows = [{"a": -1, "b": [1, 2], "c": {"x": 0.5}, "d": HOSTILE}, {"a": 2, "b": None, "c": None, "d": HOSTILE}]
    page = report(HOSTILE, [{**COMMON, "what": HOSTILE, "rows": rows, "notes": HOSTILE}])
    assert images(page) == []
    assert "x 0.5" in page
    assert "<script" not in page
    wide = [{f"column {k}": n for k in range(50)} for n in (1, 2)]
    assert len(images(report("r", [{**COMMON, "what": "wide", "rows": wide}]))) == MAX_CHARTS


def test_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    for content, message in (("{", "give the JSON files"), (json.dumps({"rows": []}), "lacks what, measured")):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(SystemExit, match=message):
            main([str(tmp_path / "x.json"), "--output", str(tmp_path / "report.html")])

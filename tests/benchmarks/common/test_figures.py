"""The JSON files that benchmarks write are those that the documentation reads."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.common import figures
from benchmarks.common.rounds import Round
from docs.generator.figures import load


def test_documentation_reads_what_a_benchmark_writes(tmp_path: Path) -> None:
    rounds: list[Round] = [{"ours": {"per_second": 2.0}}, {"ours": {"per_second": 4.0}}]
    figures.write_figures(tmp_path / "new" / "x.json", "rates", figures.medians(rounds), {"a": 1.5}, notes="two rounds")
    found = load("x", tmp_path / "new")
    assert (found.what, found.rows, found.ratios) == ("rates", [{"system": "ours", "per_second": 3.0}], {"a": 1.5})
    assert "two rounds" in found.caption()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found.measured)
    assert "cores of" in found.machine
    assert "Python 3." in found.machine


def test_command_leaves_the_json_file_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x.py", "--rounds", "3", "--json", "docs/figures/x.json", "--tune"])
    assert figures.command().endswith("--rounds 3 --tune")


def test_commit_is_unknown_outside_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert figures.commit() == "unknown"


def test_values_are_written_as_json(tmp_path: Path) -> None:
    figures.write_figures(tmp_path / "x.json", "what", [{"a": 1}], samples=[1, 2])
    assert json.loads((tmp_path / "x.json").read_text("utf-8"))["samples"] == [1, 2]

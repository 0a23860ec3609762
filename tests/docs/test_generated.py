"""The generated blocks and pictures of the documentation are up to date, and every figures file is complete."""

import json
from pathlib import Path

import pytest

from docs.generator import figures
from docs.generator.__main__ import BLOCKS, PICTURES, ROOT, main, outdated, pages
from docs.generator.blocks import BlockError, fill, names, table
from docs.generator.tables import MODELS, SHIPPED, int8, models, parity

FIGURES = sorted(path.stem for path in figures.FOLDER.glob("*.json"))


def test_generated_files_are_up_to_date() -> None:
    outdated_pages = [str(path.relative_to(ROOT)) for path in outdated()]
    assert outdated_pages == [], "run `make docs`"


def test_check_succeeds_when_nothing_is_out_of_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_every_block_and_picture_is_used() -> None:
    text = "".join(page.read_text("utf-8") for page in pages())
    assert set(names(text)) == BLOCKS.keys()
    assert [name for name in PICTURES if f"images/{name}" not in text] == []


@pytest.mark.parametrize("name", FIGURES)
def test_figures_file_says_what_when_and_where(name: str) -> None:
    found = figures.load(name)
    assert found.what
    assert found.machine
    assert found.rows
    assert len(found.measured.split("-")) == 3
    assert 7 <= len(found.commit) <= 40


def test_every_figures_file_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = set()

    def read(path: Path) -> str:
        shown.add(path.stem)
        return original(path)

    original = figures.read
    monkeypatch.setattr(figures, "read", read)
    for generate in (*BLOCKS.values(), *PICTURES.values()):
        generate()
    assert shown == set(FIGURES)


def test_fill_replaces_a_block_and_keeps_the_rest() -> None:
    page = "before\n<!-- generated: a -->\nold\n<!-- end -->\nafter\n"
    expected = "before\n<!-- generated: a -->\nnew\n<!-- end -->\nafter\n"
    assert fill(page, {"a": lambda: "new\n"}, "page") == expected
    assert fill(expected, {"a": lambda: "new\n"}, "page") == expected


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<!-- generated: b -->\n<!-- end -->\n", "page: unknown block 'b'; known: a"),
        ("<!-- generated: a -->\n<!-- generated: a -->\n<!-- end -->\n", "page: block 'a' has no <!-- end -->"),
        ("<!-- generated: a -->\n", "page: a generated block has no <!-- end -->"),
    ],
)
def test_fill_refuses_a_block_it_cannot_generate(page: str, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        fill(page, {"a": lambda: "new\n"}, "page")


def test_table_escapes_pipes() -> None:
    assert table(["a"], [["b|c"]]) == "| a |\n| --- |\n| b\\|c |\n"


def test_load_refuses_a_missing_or_incomplete_file(tmp_path: Path) -> None:
    with pytest.raises(figures.FiguresError, match="No such file"):
        figures.load("missing", tmp_path)
    (tmp_path / "x.json").write_text(json.dumps({"what": "x", "command": "x", "measured": "x"}), "utf-8")
    with pytest.raises(figures.FiguresError, match="missing commit, machine, rows"):
        figures.load("x", tmp_path)


def test_row_refuses_values_that_no_row_has() -> None:
    with pytest.raises(figures.FiguresError, match="no row with"):
        figures.load("http-classify").row(system="nobody")


def test_every_setting_and_recipe_key_has_a_meaning() -> None:
    rows = [line for line in (BLOCKS["settings"]() + BLOCKS["recipe"]()).splitlines() if line.startswith("| `")]
    assert len(rows) > 70
    assert [row for row in rows if row.endswith("|  |")] == []


def test_tables_have_only_the_models_that_ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = models(), int8(), parity()
    folder = tmp_path / "models"
    folder.mkdir()
    for name in (*SHIPPED, "mine"):
        (folder / name).symlink_to(MODELS / SHIPPED[0 if name == "mine" else SHIPPED.index(name)])
    monkeypatch.setattr("docs.generator.tables.MODELS", folder)
    assert (models(), int8(), parity()) == tables

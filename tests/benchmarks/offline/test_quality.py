"""The quality of an artifact on test sets, and of the placeholders that it declares."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.offline import quality
from service.artifact import Direction, read_artifact

ROWS = [("one dog", "eins Hund"), ("two red house", "zwei rot Haus"), ("green bird five", "grün Vogel fünf")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "toy").mkdir()
    with gzip.open(tmp_path / "toy" / "test.a-b.tsv.gz", "wt", encoding="utf-8") as file:
        file.writelines("\t".join(row) + "\n" for row in ROWS)
    return tmp_path


def test_both_directions_are_measured_on_one_file(
    toy_translator: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = data / "figures.json"
    arguments = [str(toy_translator), "--data", str(data), "--set", "toy set=toy/test", "--output", str(output)]
    monkeypatch.setattr("sys.argv", ["quality", *arguments])
    assert quality.main() == 0
    [(name, records)] = json.loads(output.read_text()).items()
    assert name == "toy-translator 1"
    assert [(r["direction"], r["rows"]) for r in records] == [("a-b", 3), ("b-a", 3)]
    assert all(r["chrf"] > 80 and r["signature"] for r in records)
    assert "placeholders_kept" not in records[0]
    assert capsys.readouterr().out.startswith("toy-translator 1\n  toy set")


def test_missing_artifact_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["quality", str(tmp_path)])
    assert quality.main() == 1
    assert "not an artifact" in capsys.readouterr().err


class Copier(quality.Translator):
    """Returns its input with an edit."""

    def __init__(self, artifact: Path, tokens: list[str], edit: Callable[[str], str]) -> None:
        manifest = read_artifact(artifact).manifest
        self.manifest, self.edit = manifest.model_copy(update={"placeholder_tokens": tokens}), edit

    def translate(self, texts: list[str], direction: Direction) -> list[str]:
        return [self.edit(text) for text in texts]


def turned(text: str) -> str:
    return " ".join(text.split()[::-1])


@pytest.mark.parametrize(
    ("tokens", "edit", "kept", "in_order"),
    [
        ("\ue000", str, (100, 100), (100, 100)),
        ("\ue000", turned, (100, 100), (100, 100)),
        ("\ue000", lambda text: text.replace("\ue000", ""), (0, 0), (0, 0)),
        ("\ue000", lambda text: text * 2, (0, 0), (0, 0)),
        ("\ue000\ue001", turned, (100, 100), (20, 80)),  # those with a single placeholder
        ("\ue000\ue001", lambda text: text.replace("\ue000", ""), (10, 60), (10, 60)),
    ],
)
def test_survival_counts_placeholders_and_their_order(
    toy_translator: Path,
    tokens: str,
    edit: Callable[[str], str],
    kept: tuple[float, float],
    in_order: tuple[float, float],
) -> None:
    copier = Copier(toy_translator, list(tokens), edit)
    pairs = [("Tom met Ann", "Tom met Ann")] * 50 + [("a dog", "a dog")]
    found = quality.survival(copier, pairs, copier.manifest.directions[0])
    assert found["placeholder_rows"] == 50
    assert kept[0] <= found["placeholders_kept"] <= kept[1]
    assert in_order[0] <= found["placeholders_in_order"] <= in_order[1]

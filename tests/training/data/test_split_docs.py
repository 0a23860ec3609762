"""Splitting documentation by source: sizes, the unseen source, no leaks, and the same split everywhere."""

import gzip
import json
from pathlib import Path

import pytest

from training.data import split_docs

UNSEEN = split_docs.UNSEEN[0]
Rows = list[tuple[str, str]]


def write(folder: Path, name: str, rows: Rows) -> None:
    folder.mkdir(exist_ok=True)
    with gzip.open(folder / f"{name}.tsv.gz", "wt", encoding="utf-8") as file:
        file.writelines("\t".join(row) + "\n" for row in rows)


def read(path: Path) -> Rows:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file]  # type: ignore[misc]


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(split_docs, "HELD_OUT", 20)
    monkeypatch.setattr(split_docs, "MOST", 150)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    texts = [f"{a} {b} {c}" for a in words for b in words for c in words]
    big = [(f"the big {t} is there", f"das große {t} ist da") for t in texts[:400]]
    small = [(f"a small {t} is here", f"ein kleines {t} ist hier") for t in texts[400:500]]
    unseen = [(f"one other {t} was there", f"ein anderes {t} war da") for t in texts[500:560]]
    corpora = tmp_path / "docs"
    write(corpora, "big.en-de", big)
    write(corpora, "small.en-de", small)
    write(corpora, f"{UNSEEN}.en-de", unseen)
    write(corpora, "tico19-test.en-de", [("never for training, this text here", "nie zum Trainieren")])
    # The same English sides, and more: what is held out for German must not train French.
    write(
        corpora, "big.en-fr", [(english, f"le grand {t} est là") for (english, _), t in zip(big, texts, strict=False)]
    )
    write(
        corpora, f"{UNSEEN}.en-fr", [(english, f"un autre {t}") for (english, _), t in zip(unseen, texts, strict=False)]
    )
    split_docs.split(corpora, tmp_path / "split")
    return tmp_path / "split"


def test_parts_have_their_sizes_and_small_sources_a_say(output: Path) -> None:
    counts = json.loads((output / "split.json").read_text())
    for part in ("dev", "test", "unseen"):
        assert len(read(output / f"{part}.en-de.tsv.gz")) == sum(counts[f"{part}.en-de"].values()) == 20
    assert counts["train.en-de"]["big"] == 150  # MOST
    assert set(counts["unseen.en-de"]) == {UNSEEN}
    assert UNSEEN not in {*counts["train.en-de"], *counts["dev.en-de"], *counts["test.en-de"]}
    # By the square roots, a third; by the rows, a fifth.
    assert 11 <= counts["dev.en-de"]["small"] + counts["test.en-de"]["small"] <= 15
    assert not any("tico19" in name for rows in counts.values() for name in rows)


def test_no_training_row_shares_a_side_with_a_held_out_row(output: Path) -> None:
    held_out = {
        side
        for path in output.glob("*.tsv.gz")
        if not path.name.startswith("train")
        for row in read(path)
        for side in row
    }
    for pair in ("en-de", "en-fr"):
        train = read(output / f"train.{pair}.tsv.gz")
        assert len(train) > 100
        assert not [row for row in train if not held_out.isdisjoint(row)]


def test_numbers_do_not_tell_rows_apart() -> None:
    assert split_docs._key("Version 10, on Windows!") == split_docs._key("version 7 on windows")


def test_split_is_the_same_for_any_order_of_the_rows(output: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "docs").glob("*.tsv.gz"):
        write(tmp_path / "docs", path.name.removesuffix(".tsv.gz"), read(path)[::-1])
    split_docs.split(tmp_path / "docs", tmp_path / "again")
    for path in output.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_folder_without_corpora_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["split_docs", str(tmp_path), str(tmp_path / "out")])
    assert split_docs.main() == 1
    assert capsys.readouterr().err == f"error: {tmp_path}: no file SOURCE.en-XX.tsv.gz\n"

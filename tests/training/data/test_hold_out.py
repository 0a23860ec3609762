"""Held-out rows: every label in its proportion, none lost, and no duplicate of a training row."""

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import write_rows
from training.config import DataConfig, RecipeError
from training.data.corpus import split_corpus
from training.data.corpus_checks import count_repeated
from training.data.hold_out import group_duplicates, normalise

LABELS = DataConfig(train=["train.tsv"], columns=["label", "text"], hold_out=60)


def test_normalised_texts_ignore_case_punctuation_and_width() -> None:
    assert normalise("Where's MY card?!") == normalise("where s my  card") == "where s my card"
    assert normalise("Ｆｕｌｌ width") == "full width"
    assert normalise("हिन्दी।") == "हिन्दी"  # marks are part of a letter
    assert normalise(" :-) ") == ":-)"


def test_rows_that_share_a_side_are_one_group() -> None:
    pairs = [("Yes.", "Ja."), ("no", "nein"), ("yes", "doch"), ("", "Doch!"), ("", "x"), ("", "y")]
    assert group_duplicates(pairs) == [0, 1, 0, 0, 4, 5]


def test_no_held_out_row_of_a_doubled_file_is_in_training(tmp_path: Path) -> None:
    rows = [(f"label {i % 5}", f"text number {i}") for i in range(300)]
    write_rows(tmp_path / "train.tsv", [*rows, *((label, f"{text.upper()}!") for label, text in rows)])
    training, held = split_corpus(LABELS, 1, tmp_path)
    assert (len(training), len(held)) == (540, 60)
    assert count_repeated(held, training, LABELS) == 0
    assert Counter(label for label, _ in held) == {f"label {i}": 12 for i in range(5)}


def test_label_never_loses_its_last_row(tmp_path: Path) -> None:
    rows = [("common", f"text {i}") for i in range(100)] + [(f"rare {i}", f"rare text {i}") for i in range(40)]
    write_rows(tmp_path / "train.tsv", rows)
    for seed in range(5):
        training, held = split_corpus(LABELS, seed, tmp_path)
        assert len(held) == 60
        assert {label for label, _ in held} == {"common"}
        assert len({label for label, _ in training}) == 41


def test_translator_holds_out_pairs_with_both_sides_unseen(tmp_path: Path) -> None:
    rows = [(f"word {i % 150}", f"Wort {i}") for i in range(200)]
    write_rows(tmp_path / "train.tsv", rows)
    data = DataConfig(train=["train.tsv"], columns=["en", "de"], hold_out=50)
    training, held = split_corpus(data, 1, tmp_path)
    assert len(held) == 50
    assert not {row[0] for row in training} & {row[0] for row in held}


def test_file_without_a_row_to_spare_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.tsv", [("a", "one text"), ("a", "One text!"), ("b", "other")])
    with pytest.raises(
        RecipeError, match=r"hold_out 2: no row of train.tsv can be held out: each is a label's last row"
    ):
        split_corpus(LABELS.model_copy(update={"hold_out": 2}), 1, tmp_path)

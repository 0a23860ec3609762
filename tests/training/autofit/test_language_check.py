"""Columns named after a language are in it, as the shipped detector says."""

from pathlib import Path

import pytest

from training.autofit.language_check import check_languages
from training.data.files import CorpusError

ENGLISH = [f"There are {i} houses near the river, and we live in one of them." for i in range(20)]
GERMAN = [f"Am Fluss stehen {i} Häuser, und wir wohnen in einem davon." for i in range(20)]
FRENCH = [f"Il y a {i} maisons près de la rivière, et nous habitons l'une d'elles." for i in range(20)]


def test_right_languages_are_not_mentioned() -> None:
    assert check_languages("a.csv", {"en": ENGLISH, "de": GERMAN}) == []


def test_swapped_columns_are_refused() -> None:
    message = (
        r"a.csv: the columns en and de are swapped: en is German \(20 of 20 texts\), de is English \(20 of 20 texts\); "
        "swap their names"
    )
    with pytest.raises(CorpusError, match=message):
        check_languages("a.csv", {"en": GERMAN, "de": ENGLISH})


def test_another_language_is_mentioned() -> None:
    lines = check_languages("a.csv", {"en": ENGLISH, "de": FRENCH})
    assert lines == ["a.csv: the column de seems to be French (20 of 20 texts)"]


def test_nothing_is_said_of_short_texts_unknown_names_or_without_detector(tmp_path: Path) -> None:
    assert check_languages("a.csv", {"en": ["Haus"] * 50, "forth": GERMAN}) == []
    assert check_languages("a.csv", {"en": GERMAN, "de": ENGLISH}, tmp_path) == []

"""Whether the labels of a table are several a row: recognised, given, or refused."""

import re

import pytest

from training.autofit.label_separator import choose_separator, guess_separator
from training.data.files import CorpusError


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["a|b", "a", "b", "a|b|c", "c", "b|c"], "|"),
        (["a;b", "a", "b", "c;a", "c"], ";"),
        (["red, round", "red", "round", "red, flat", "flat", "round, flat"], ","),
        (["a\x1fb", "a"], "list"),
        (["pay", "card", "pay"], ""),
        (["a|b", "c|d"], ""),
        (["Paris, France", "London, UK", "Nice, France", "Rome, Italy", "Lyon, France", "Bath, UK"], ""),
        (["", ""], ""),
    ],
)
def test_separator_is_recognised(cells: list[str], separator: str) -> None:
    assert guess_separator(cells) == separator


def test_choice_is_said() -> None:
    cells = ["a|b", "a", "b", "a|b|c", "", "c"]
    separator, note = choose_separator(cells, None, "column 'tags'")
    assert separator == "|"
    assert note == (
        "a text can have several labels, separated by '|' (--label-separator none if not): 2 of 6 rows have, such as "
        "'a' and 'b', 1 have none"
    )
    assert choose_separator(cells, "none", "column 'tags'") == ("", "")
    assert choose_separator(["x/y", "z"], "/", "column 'tags'")[0] == "/"
    assert choose_separator(["a\x1fb"], None, "column 'tags'")[1].startswith("a text can have several labels, in lists")


def test_given_separator_must_occur() -> None:
    message = "column 'tags': no cell has semicolon ';' between two labels (--label-separator); leave the option out"
    with pytest.raises(CorpusError, match=re.escape(message)):
        choose_separator(["a|b", "a"], ";", "column 'tags'")

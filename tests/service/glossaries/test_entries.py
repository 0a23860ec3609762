"""Entries of glossaries as text."""

import pytest

from service.errors import InvalidRequest
from service.glossaries.entries import EntriesFormat, format_tsv, parse_entries

LANGUAGES = ("en", "de")


def test_tab_separated_lines_are_entries() -> None:
    entries = parse_entries("dog\tKöter\r\n\n  house \t Haus \nA%=&\tB\u00df", "tsv", LANGUAGES)
    assert entries == {"dog": "Köter", "house": "Haus", "A%=&": "Bß"}
    assert format_tsv(entries) == "dog\tKöter\nhouse\tHaus\nA%=&\tBß"
    assert parse_entries(format_tsv(entries), "tsv", LANGUAGES) == entries


def test_comma_separated_rows_are_entries() -> None:
    text = 'dog,Köter\n"source""Entry","target,Entry",EN,de\n\nchien,Hund,fr,de\n'
    assert parse_entries(text, "csv", LANGUAGES) == {"dog": "Köter", 'source"Entry': "target,Entry"}


@pytest.mark.parametrize(
    ("text", "entries_format", "message"),
    [
        ("", "tsv", "there is none"),
        (" \n", "csv", "there is none"),
        ("chien,Hund,fr,de", "csv", "there is none"),
        ("dog\tHund\ncat", "tsv", "index 1: it misses the tab"),
        ("dog\tHund\ndog\tKöter", "tsv", "index 1: the source term 'dog' occurs twice"),
        ("dog\t", "tsv", "index 0: a term is empty"),
        ("dog\tHund\tKöter", "tsv", "control character"),
        ("dog\tHu\u2028nd", "tsv", "control character"),
        (f"{'x' * 1025}\tHund", "tsv", "more than 1024 bytes"),
        ("dog,Hund,en", "csv", "index 0: it has 3 columns"),
        ('"dog,Hund', "csv", "unexpected end of data"),
        ('"do\ng",Hund', "csv", "line break"),
    ],
)
def test_invalid_entries_are_rejected(text: str, entries_format: EntriesFormat, message: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid glossary entries provided") as caught:
        parse_entries(text, entries_format, LANGUAGES)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200

"""Tests of service.documents.formats.plain_text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents.formats.plain_text import FORMAT, MAX_UNIT_CHARACTERS
from service.errors import InvalidDocument
from tests.service.documents.helpers import OPTIONS, capitals, round_trip
from tests.service.text.markup.helpers import upper

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


@given(st.lists(st.sampled_from(["one two", "\r\n", "\n", "\r", "\t", "  ", "über", "\x0c", "水" * 300])).map("".join))
def test_a_text_comes_back_byte_for_byte(text: str) -> None:
    for encoding in ENCODINGS:
        content = text.encode(encoding)
        assert round_trip(FORMAT.read, content) == content
        assert round_trip(FORMAT.read, content, capitals) == upper(text).encode(encoding)


def test_units_end_at_blank_lines_or_else_at_line_ends() -> None:
    units = FORMAT.read(("one two\n" * 100 + "\n" + "x" * 50 + "\n").encode(), OPTIONS).units
    assert [str(unit).count("\n") for unit in units] == [101, 1]
    units = FORMAT.read(b"one two\n" * 10_000, OPTIONS).units
    assert max(map(len, map(str, units))) <= MAX_UNIT_CHARACTERS + 8
    assert len(FORMAT.read(b"one " * 100_000, OPTIONS).units) == 1


def test_other_encodings_are_refused() -> None:
    with pytest.raises(InvalidDocument, match="the text file is not valid UTF-8 at byte 3; save it in UTF-8"):
        FORMAT.read("café".encode("latin-1"), OPTIONS)


def test_time_is_linear() -> None:
    started = time.process_time()
    for content in (b"\n" * 2_000_000, b"a\r\n" * 600_000, b"a" * 2_000_000):
        assert round_trip(FORMAT.read, content) == content
    assert time.process_time() - started < 10

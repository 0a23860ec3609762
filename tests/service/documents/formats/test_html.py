"""Tests of service.documents.formats.html."""

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.documents.formats.html import FORMAT
from service.errors import InvalidDocument
from tests.service.documents.helpers import OPTIONS, capitals, round_trip
from tests.service.text.markup.test_document import FRAGMENTS

PAGE = "<html><head><title>one</title></head>\r\n<body><p>two <b>über</b> three<p>&copy; four</body></html>\n"


@settings(max_examples=100, deadline=None)
@given(st.lists(FRAGMENTS, max_size=20).map("".join))
def test_a_page_comes_back_byte_for_byte(markup: str) -> None:
    for content in (markup.encode(), codecs.BOM_UTF8 + markup.encode()):
        assert round_trip(FORMAT.read, content) == content


def test_all_texts_and_nothing_else_are_translated() -> None:
    expected = "<html><head><title>ONE</title></head>\r\n<body><p>TWO <b>ÜBER</b> THREE<p>&copy; FOUR</body></html>\n"
    assert round_trip(FORMAT.read, PAGE.encode(), capitals).decode() == expected
    assert len(FORMAT.read(PAGE.encode(), OPTIONS).units) == 3


@pytest.mark.parametrize("name", ["iso-8859-1", "windows-1252", "UTF-8", "shift_jis"])
def test_a_declared_encoding_is_kept(name: str) -> None:
    page = f'<meta charset="{name}"><p>one ¬ two</p>'.encode("latin-1" if "5" in name else name)
    expected = page.replace(b"one", b"ONE").replace(b"two", b"TWO")
    assert round_trip(FORMAT.read, page, capitals) == expected
    assert round_trip(FORMAT.read, page) == page


def test_a_character_outside_the_encoding_becomes_a_reference() -> None:
    page = b'<meta http-equiv=Content-Type content="text/html; charset=koi8-r"><p>one</p>'
    document = FORMAT.read(page, OPTIONS)
    [translation] = map(capitals, document.units)
    assert document.render([translation.replace("ONE", "é")]) == page.replace(b"one", b"&#233;")


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (b"<p>caf\xe9</p>", "the HTML file is not valid UTF-8 at byte 6"),
        (b"<meta charset=nonsense><p>one", "not in nonsense, which it declares"),
        (b"<meta charset=utf-7><p>+A", "utf-7"),
        (b"<meta charset=hex><p>one", "not in hex"),
    ],
)
def test_a_page_in_another_encoding_is_refused(page: bytes, message: str) -> None:
    with pytest.raises(InvalidDocument, match=message):
        FORMAT.read(page, OPTIONS)

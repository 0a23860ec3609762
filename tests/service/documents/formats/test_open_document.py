"""Tests of service.documents.formats.open_document."""

import io
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree
from odf import opendocument, teletype
from odf import text as odf_text

from service.documents.formats.document import DocumentUnit
from service.documents.formats.open_document import ODT
from service.errors import InvalidDocument
from service.text.markup.document import Document
from tests.service.documents.formats.office_files import IMAGE, members, open_document
from tests.service.documents.helpers import OPTIONS, capitals, round_trip
from tests.service.text.markup.helpers import upper
from tests.service.text.markup.test_document import translations

NOTE = "<text:note><text:note-citation>1</text:note-citation><text:note-body>{}</text:note-body></text:note>"
LEAVES = st.sampled_from([
    "one ", " two three", "four. ", "über &amp; ", "5 &lt; 7 ", "水", "<text:s/>", '<text:s text:c="3"/>',
    "<text:tab/>",
    "<text:line-break/>", "<text:page-number>3</text:page-number>", "<text:bookmark/>", "<!-- c -->", "<![CDATA[<x]]>",
    NOTE.format("<text:p>note</text:p>"), NOTE.format("<text:p/>"), "<draw:frame><draw:image/></draw:frame>", "\n",
    "<draw:frame><draw:text-box><text:p>box <text:span>inner</text:span></text:p></draw:text-box></draw:frame>",
    "<text:span>\ufffc</text:span>", "<office:annotation><text:p>said</text:p></office:annotation>",
])  # fmt: skip
INLINE = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(lambda inner: f'<text:span text:x="1">{"".join(inner)}</text:span>'),
    max_leaves=10,
)
BODIES = st.lists(st.lists(INLINE, max_size=6).map(lambda inner: f"<text:p>{''.join(inner)}</text:p>"), max_size=3).map(
    "".join
)


def tags(content: bytes) -> Counter[str]:
    root = etree.fromstring(members(content)["content.xml"])
    return Counter(f"{one.tag} {dict(one.attrib)}" for one in root.iter() if not str(one.tag).endswith("}s"))


def body(content: bytes) -> str:
    found = members(content)["content.xml"].decode()
    return found[found.index("<office:text>") + 13 : found.index("</office:text>")]


@settings(max_examples=50, deadline=None)
@given(BODIES)
def test_a_document_comes_back_byte_for_byte(inner: str) -> None:
    content = open_document(inner, f"<text:p>{'head'}</text:p>")
    assert round_trip(ODT.read, content) == content


@example("<text:p>&lt;x<text:page-number>3</text:page-number>&lt;x</text:p>")  # the page number is in no protected span
@settings(max_examples=50, deadline=None)
@given(BODIES)
def test_a_translation_keeps_the_structure(inner: str) -> None:
    content = open_document(inner)
    translated = round_trip(ODT.read, content, capitals)
    assert tags(translated) == tags(content)
    words = [etree.fromstring(members(one)["content.xml"]).xpath("string()") for one in (content, translated)]
    assert sorted("".join(words[1].split())) == sorted("".join(upper(words[0]).split()))
    others, expected = members(translated), members(content)
    assert {**others, "content.xml": b""} == {**expected, "content.xml": b""}
    assert list(others) == list(expected)


@settings(max_examples=20, deadline=None)
@given(BODIES, st.data())
def test_whatever_a_model_says_no_element_is_lost_or_doubled(inner: str, data: st.DataObject) -> None:
    def translate(unit: DocumentUnit) -> str:
        assert isinstance(unit, Document)
        return unit.render(data.draw(translations(unit.block_texts)))

    content = open_document(inner)
    assert tags(round_trip(ODT.read, content, translate)) == tags(content)


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<text:h>one <text:span>two</text:span></text:h>", "<text:h>ONE <text:span>TWO</text:span></text:h>"),
        (
            f"<text:p>one{NOTE.format('<text:p>two</text:p>')} three</text:p>",
            f"<text:p>ONE{NOTE.format('<text:p>TWO</text:p>')} THREE</text:p>",
        ),
        ("<text:p>one<text:tab/>two</text:p>", "<text:p>ONE<text:tab/>TWO</text:p>"),
        (
            "<text:p>page <text:page-number>four</text:page-number></text:p>",
            "<text:p>PAGE <text:page-number>four</text:page-number></text:p>",
        ),
        (
            "<text:tracked-changes><text:p>one</text:p></text:tracked-changes><text:p>two</text:p>",
            "<text:tracked-changes><text:p>one</text:p></text:tracked-changes><text:p>TWO</text:p>",
        ),
        (
            '<table:table-cell office:value-type="string"><text:p>one</text:p></table:table-cell>'
            '<table:table-cell office:value-type="date"><text:p>May</text:p></table:table-cell>'
            '<table:table-cell office:value-type="string" table:formula="x"><text:p>two</text:p></table:table-cell>',
            '<table:table-cell office:value-type="string"><text:p>ONE</text:p></table:table-cell>'
            '<table:table-cell office:value-type="date"><text:p>May</text:p></table:table-cell>'
            '<table:table-cell office:value-type="string" table:formula="x"><text:p>two</text:p></table:table-cell>',
        ),
    ],
)
def test_texts_are_translated_in_their_places(inner: str, expected: str) -> None:
    assert body(round_trip(ODT.read, open_document(inner), capitals)) == expected


def test_headers_are_translated_and_other_members_are_not() -> None:
    found = members(round_trip(ODT.read, open_document("<text:p>one</text:p>", "<text:p>two</text:p>"), capitals))
    assert "<text:p>TWO</text:p>" in found["styles.xml"].decode()
    assert (found["meta.xml"], found["image.png"]) == (b"<meta>one two</meta>", IMAGE)


def test_odfpy_reads_the_result() -> None:
    document = opendocument.OpenDocumentText()
    paragraph = odf_text.P(text="one ")
    paragraph.addElement(odf_text.Span(text="two"))
    document.text.addElement(paragraph)
    content = io.BytesIO()
    document.write(content)
    assert round_trip(ODT.read, content.getvalue()) == content.getvalue()
    read = opendocument.load(io.BytesIO(round_trip(ODT.read, content.getvalue(), capitals)))
    [found] = read.getElementsByType(odf_text.P)
    assert teletype.extractText(found) == "ONE TWO"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            open_document("", manifest="<manifest:encryption-data/>"),
            "the file is encrypted; save it without a password",
        ),
        (open_document("<text:p>"), "content.xml: the XML is broken at line 1: mismatched tag"),
        (b"x", "the file is no odt file: File is not a zip file"),
    ],
)
def test_a_broken_file_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidDocument, match=message):
        ODT.read(content, OPTIONS)

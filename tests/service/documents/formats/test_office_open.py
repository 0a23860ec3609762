"""Tests of service.documents.formats.office_open and runs: docx and pptx."""

import io
import time
from collections import Counter
from typing import Any

import docx as python_docx
import pptx as python_pptx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from service.documents.formats.document import DocumentUnit
from service.documents.formats.office_open import DOCX, PPTX
from service.errors import InvalidDocument
from service.text.markup.document import Document
from tests.service.documents.formats.office_files import IMAGE, WORD, docx, members, pptx
from tests.service.documents.helpers import OPTIONS, capitals, round_trip
from tests.service.text.markup.helpers import upper
from tests.service.text.markup.test_document import reversed_words, translations

BODY = "word/document.xml"
W = f"{{{WORD}}}"
# Runs, what may be in them, and what says nothing.
RUN_TAGS = {f"{W}{name}" for name in ("r", "rPr", "t", "b", "i", "lang", "proofErr", "lastRenderedPageBreak")}


def run(text: str, properties: str = "", before: str = "", after: str = "") -> str:
    properties = f"<w:rPr>{properties}</w:rPr>" if properties else ""
    return f'<w:r w:rsidR="00AB">{properties}{before}<w:t xml:space="preserve">{text}</w:t>{after}</w:r>'


def field(instruction: str, result: str) -> str:
    return (
        '<w:r><w:fldChar w:fldCharType="begin"/></w:r>'
        f'<w:r><w:instrText xml:space="preserve"> {instruction} </w:instrText></w:r>'
        f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{result}<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )


def body(content: bytes) -> str:
    found = members(content)[BODY].decode()
    return found[found.index("<w:body>") + 8 : found.index("<w:sectPr/>")]


TEXT_BOX = "<w:r><w:drawing><a:x/><w:txbxContent><w:p>{}</w:p></w:txbxContent></w:drawing></w:r>"
TEXTS = st.sampled_from(["one ", "two three ", "four. ", "über &amp; ", "5 &lt; 7 ", " ", "水 "])
RUNS = st.builds(
    run,
    TEXTS,
    st.sampled_from(["", "", '<w:lang w:val="en"/>', "<w:b/>", "<w:i/>", '<w:b/><w:lang w:val="en"/>']),
    st.sampled_from(["", "", "", "<w:tab/>", "<w:br/>", "<w:lastRenderedPageBreak/>", "<w:t/>"]),
    st.sampled_from(["", "", "", '<w:footnoteReference w:id="2"/>', "<w:br/>", "<w:drawing/>", '<w:sym w:char="1"/>']),
)
MARKS = st.sampled_from([
    '<w:bookmarkStart w:id="1"/>', '<w:bookmarkEnd w:id="1"/>', "<w:proofErr/>", '<w:commentRangeStart w:id="1"/>',
    '<w:commentRangeEnd w:id="1"/>', "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>",
    "<m:oMath><m:r/></m:oMath>",
    "<w:r/>", '<w:fldSimple w:instr="PAGE"><w:r><w:t>3</w:t></w:r></w:fldSimple>', "<!-- c -->", "\n ",
    field("PAGE", run("4")), TEXT_BOX.format(run("box ")),
    TEXT_BOX.format(""),
])  # fmt: skip
WRAPPERS = st.sampled_from([
    ('<w:hyperlink r:id="x">', "</w:hyperlink>"),
    ("<w:ins>", "</w:ins>"),
    ("<w:sdt><w:sdtPr/><w:sdtContent>", "</w:sdtContent></w:sdt>"),
])  # fmt: skip
INLINE = st.recursive(
    st.one_of(RUNS, RUNS, MARKS),
    lambda inner: st.one_of(
        st.tuples(WRAPPERS, st.lists(inner, max_size=3)).map(lambda pair: pair[0][0] + "".join(pair[1]) + pair[0][1]),
        st.lists(inner, max_size=2).map(lambda inner: field('HYPERLINK "x"', "".join(inner))),
    ),
    max_leaves=10,
)
UNENDED = st.just('<w:r><w:fldChar w:fldCharType="begin"/></w:r>')  # ends in another paragraph
PARAGRAPHS = st.lists(st.one_of(INLINE, INLINE, INLINE, UNENDED), max_size=6).map(
    lambda inner: f"<w:p><w:pPr><w:b/></w:pPr>{''.join(inner)}</w:p>"
)
CELLS = PARAGRAPHS.map(lambda inner: f"<w:tbl><w:tr><w:tc><w:tcPr/>{inner}</w:tc></w:tr></w:tbl>")
BODIES = st.lists(st.one_of(PARAGRAPHS, CELLS), max_size=4).map("".join)


def tree(content: bytes) -> Any:
    return etree.fromstring(members(content)[BODY])


def structure(content: bytes) -> Counter[str]:
    """Return the elements except for runs, with their attributes and parents."""
    return Counter(
        f"{[one.tag for one in found.iterancestors() if one.tag not in RUN_TAGS]} {found.tag} {dict(found.attrib)}"
        for found in tree(content).iter()
        if found.tag not in RUN_TAGS
    )


def blocks(content: bytes) -> list[str]:
    """Return the elements that paragraphs, tables and links consist of, in order."""
    return [one.tag for one in tree(content).iter(*(W + name for name in ("p", "pPr", "tbl", "tr", "tc", "hyperlink")))]


def look(content: bytes) -> list[list[tuple[str, set[str]]]]:
    """Return the characters of each paragraph that are no white space, with the properties of their runs."""
    return [
        [
            (character, {one.tag for one in text.getparent().iterfind(f"{W}rPr/*") if "lang" not in one.tag})
            for text in paragraph.iter(f"{W}t")
            if next(text.iterancestors(f"{W}p")) is paragraph
            for character in text.text or ""
            if not character.isspace()
        ]
        for paragraph in tree(content).iter(f"{W}p")
    ]  # fmt: skip


def assert_valid(content: bytes) -> None:
    """Check that runs are where they may be, with their properties first."""
    for one in tree(content).iter():
        if one.tag == f"{W}t":
            assert one.getparent().tag == f"{W}r"
        elif one.tag == f"{W}r":
            assert one.getparent().tag != f"{W}r"
            assert [k for k, inner in enumerate(one) if inner.tag == f"{W}rPr"] in ([], [0])


@settings(max_examples=50, deadline=None)
@given(BODIES)
def test_a_document_comes_back_byte_for_byte(inner: str) -> None:
    content = docx(inner)
    assert round_trip(DOCX.read, content) == content


@settings(max_examples=50, deadline=None)
@given(BODIES)
def test_a_translation_keeps_structure_and_look(inner: str) -> None:
    content = docx(inner)
    translated = round_trip(DOCX.read, content, capitals)
    assert structure(translated) == structure(content)
    assert blocks(translated) == blocks(content)
    assert [[(upper(c), format_) for c, format_ in paragraph] for paragraph in look(content)] == look(translated)
    assert_valid(translated)
    others, expected = members(translated), members(content)
    assert {**others, BODY: b""} == {**expected, BODY: b""}


@settings(max_examples=50, deadline=None)
@given(BODIES, st.data())
def test_whatever_a_model_says_no_element_is_lost_or_doubled(inner: str, data: st.DataObject) -> None:
    def translate(unit: DocumentUnit) -> str:
        assert isinstance(unit, Document)
        return unit.render(data.draw(translations(unit.block_texts)))

    content = docx(inner)
    translated = round_trip(DOCX.read, content, translate)
    # An object, such as a page number, may leave its link.
    assert Counter(one.tag for one in tree(translated).iter() if one.tag not in RUN_TAGS) == Counter(
        one.tag for one in tree(content).iter() if one.tag not in RUN_TAGS
    )
    assert_valid(translated)


def convert(inner: str) -> str:
    """Return the body of a document, translated to capitals."""
    return body(round_trip(DOCX.read, docx(inner), capitals))


OPEN = '<w:t xml:space="preserve">'


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<w:p><w:r><w:t>one</w:t></w:r></w:p>", f"<w:p><w:r>{OPEN}ONE</w:t></w:r></w:p>"),
        (
            f"<w:p>{run('one ')}{run('two', '<w:b/>')}{run(' three')}</w:p>",
            f"<w:p><w:r>{OPEN}ONE </w:t></w:r><w:r><w:rPr><w:b/></w:rPr>{OPEN}TWO</w:t></w:r>"
            f"<w:r>{OPEN} THREE</w:t></w:r></w:p>",
        ),
        (  # runs that differ in the language only are one
            f"<w:p>{run('on')}<w:proofErr/>{run('e two', '<w:lang/>')}</w:p>",
            f"<w:p><w:r>{OPEN}ONE TWO</w:t></w:r></w:p>",
        ),
        (  # a tab ends a text, within a run
            "<w:p><w:r><w:t>one</w:t><w:tab/><w:t>two</w:t></w:r></w:p>",
            f"<w:p><w:r>{OPEN}ONE</w:t><w:tab/>{OPEN}TWO</w:t></w:r></w:p>",
        ),
        (  # a line break does, unless the sentence goes on
            "<w:p><w:r><w:t>one</w:t><w:br/><w:t>Two</w:t><w:br/><w:t>three</w:t></w:r></w:p>",
            f"<w:p><w:r>{OPEN}ONE</w:t><w:br/>{OPEN}TWO</w:t><w:br/>{OPEN}THREE</w:t></w:r></w:p>",
        ),
        (  # a page number is an object in the sentence
            f"<w:p>{run('page ')}{field('PAGE', run('4'))}{run(' of it')}</w:p>",
            f"<w:p><w:r>{OPEN}PAGE </w:t>"
            '<w:fldChar w:fldCharType="begin"/><w:instrText xml:space="preserve"> PAGE </w:instrText>'
            '<w:fldChar w:fldCharType="separate"/><w:t xml:space="preserve">4</w:t><w:fldChar w:fldCharType="end"/>'
            f"{OPEN} OF IT</w:t></w:r></w:p>",
        ),
        (  # the text of a link is translated
            f'<w:p>{run("see ")}<w:hyperlink r:id="x">{run("one", "<w:u/>")}</w:hyperlink>{run(".")}</w:p>',
            f'<w:p><w:r>{OPEN}SEE </w:t></w:r><w:hyperlink r:id="x"><w:r><w:rPr><w:u/></w:rPr>{OPEN}ONE</w:t></w:r>'
            f"</w:hyperlink><w:r>{OPEN}.</w:t></w:r></w:p>",
        ),
        (  # what is around all of the text stays where it is
            f'<w:p><w:bookmarkStart w:id="1"/>{run("one")}<w:bookmarkEnd w:id="1"/></w:p>',
            f'<w:p><w:bookmarkStart w:id="1"/><w:r>{OPEN}ONE</w:t></w:r><w:bookmarkEnd w:id="1"/></w:p>',
        ),
        (  # a text box in a sentence
            f"<w:p>{run('one ')}{TEXT_BOX.format(run('two'))}{run('three')}</w:p>",
            f"<w:p><w:r>{OPEN}ONE </w:t></w:r>".replace("</w:r>", "")
            + TEXT_BOX.format(f"<w:r>{OPEN}TWO</w:t></w:r>").removeprefix("<w:r>").removesuffix("</w:r>")
            + f"{OPEN}THREE</w:t></w:r></w:p>",
        ),
        ("<w:p><w:r><w:sym>one</w:sym></w:r></w:p>", "<w:p><w:r><w:sym>one</w:sym></w:r></w:p>"),
        (f"<w:p><w:del>{run('one')}</w:del></w:p>", f"<w:p><w:del>{run('one')}</w:del></w:p>"),
    ],
)  # fmt: skip
def test_runs_are_written_around_the_translation(inner: str, expected: str) -> None:
    assert convert(inner) == expected


def test_all_parts_with_text_are_translated() -> None:
    texts = {name: f"<w:p>{run('one')}</w:p>" for name in ("header1", "footer2", "footnotes", "endnotes", "comments")}
    content = docx("<w:p/>", **texts)
    found = members(round_trip(DOCX.read, content, capitals))
    for name, before in members(content).items():
        assert (found[name] != before) == (name[5:-4] in texts), name
    assert found["image.png"] == IMAGE


def test_words_that_change_their_places_take_their_format_along() -> None:
    def translate(unit: DocumentUnit) -> str:
        assert isinstance(unit, Document)
        return unit.render([reversed_words(text) for text in unit.block_texts])

    inner = f"<w:p>{run('one ')}{run('two', '<w:b/>')}{run(' three.')}</w:p>"
    assert body(round_trip(DOCX.read, docx(inner), translate)) == (
        f"<w:p><w:r>{OPEN}THREE </w:t></w:r><w:r><w:rPr><w:b/></w:rPr>{OPEN}TWO</w:t></w:r>"
        f"<w:r>{OPEN} ONE.</w:t></w:r></w:p>"
    )


def test_python_docx_reads_the_result() -> None:
    document = python_docx.Document()
    document.add_heading("one two", 1)
    paragraph = document.add_paragraph("three ")
    paragraph.add_run("four").bold = True
    document.add_table(1, 1).cell(0, 0).text = "five"
    document.sections[0].header.paragraphs[0].text = "six"
    content, output = io.BytesIO(), io.BytesIO()
    document.save(content)
    assert round_trip(DOCX.read, content.getvalue()) == content.getvalue()
    output.write(round_trip(DOCX.read, content.getvalue(), capitals))
    read = python_docx.Document(output)
    assert [one.text for one in read.paragraphs] == ["ONE TWO", "THREE FOUR"]
    assert [(one.text, one.bold) for one in read.paragraphs[1].runs] == [("THREE ", None), ("FOUR", True)]
    assert read.paragraphs[0].style is not None
    assert read.paragraphs[0].style.name == "Heading 1"
    assert read.tables[0].cell(0, 0).text == "FIVE"
    assert read.sections[0].header.paragraphs[0].text == "SIX"


def test_python_pptx_reads_the_result() -> None:
    deck = python_pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "one\vtwo"
    frame = slide.placeholders[1].text_frame
    frame.text = "three "
    run_ = frame.paragraphs[0].add_run()
    run_.text, run_.font.bold = "four", True
    slide.notes_slide.notes_text_frame.text = "five"
    content = io.BytesIO()
    deck.save(content)
    assert round_trip(PPTX.read, content.getvalue()) == content.getvalue()
    read = python_pptx.Presentation(io.BytesIO(round_trip(PPTX.read, content.getvalue(), capitals))).slides[0]
    assert read.shapes.title.text == "ONE\vTWO"
    [paragraph] = read.placeholders[1].text_frame.paragraphs
    assert [(one.text, one.font.bold) for one in paragraph.runs] == [("THREE ", None), ("FOUR", True)]
    assert read.notes_slide.notes_text_frame.text == "FIVE"


def test_slides_keep_fields_and_have_no_attribute_at_texts() -> None:
    inner = (
        '<a:p><a:r><a:rPr lang="en" dirty="0"/><a:t>one </a:t></a:r><a:r><a:rPr lang="de" b="1"/><a:t>two</a:t></a:r>'
        '<a:fld type="slidenum"><a:t>three</a:t></a:fld><a:endParaRPr/></a:p>'
    )
    slide = members(round_trip(PPTX.read, pptx(inner), capitals))["ppt/slides/slide1.xml"].decode()
    assert slide[slide.index("<a:p>") : slide.index("</p:txBody>")] == inner.replace("one", "ONE").replace("two", "TWO")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"x" * 600, "encrypted, or in an old binary format; save it as docx"),
        (b"one two", "the file is no docx file: File is not a zip file"),
        (docx("<w:p>"), "word/document.xml: the XML is broken at line 2: mismatched tag"),
        (docx("")[:-30], "the file is no docx file"),
        (pptx(""), "the file is no docx file, or has macros; save it as docx"),
        (docx("<w:p/>").replace(b"word/document.xml", b"word/xdocument.ml"), "no docx file"),
    ],
    ids=["encrypted", "no zip", "broken XML", "truncated", "pptx", "inconsistent"],
)
def test_a_broken_file_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidDocument, match=message):
        DOCX.read(content, OPTIONS)


def test_time_is_linear() -> None:
    started = time.process_time()
    begin = '<w:r><w:fldChar w:fldCharType="begin"/></w:r>'
    end = '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    for inner in (
        run("one ") * 3000,
        "".join(run("one ", f"<w:x{k}/>") for k in range(2000)),
        run("one ") + begin * 2000 + end * 2000,
        "<w:hyperlink>" * 200 + run("one ") + "</w:hyperlink>" * 200,
        '<w:bookmarkStart w:id="1"/>' * 2000 + run("one ") + '<w:bookmarkEnd w:id="1"/>' * 2000,
        run("one ", after="<w:br/>") * 2000,
        run("one ", after='<w:sym w:char="1"/>') * 2000,
    ):
        convert(f"<w:p>{inner}</w:p>")
    assert time.process_time() - started < 30

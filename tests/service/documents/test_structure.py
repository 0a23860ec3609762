"""Documents through the whole pipeline, with segmentation, retries and alignment: only words change, by hypothesis."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from service.documents.translation import DocumentProgress, DocumentRequest, DocumentTranslator
from service.settings import Settings
from tests.service.documents.formats import test_office_open as office
from tests.service.documents.formats import test_po as po
from tests.service.documents.formats.office_files import docx, members
from tests.service.documents.formats.test_subtitles import srt_files
from tests.service.text.markup.test_markdown import BLOCKS
from tests.service.translation.helpers import english_german, open_translator, reverse_words

TAG = re.compile(r"<[^ >]*>|\{[^}]*\}")
bounded = settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a failing document takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def documents(toy_translator: Path) -> Iterator[DocumentTranslator]:
    """A translator of documents whose model reverses the letters of each word."""
    model, _ = english_german(toy_translator, reverse_words)
    with open_translator(model) as translator:
        yield DocumentTranslator(translator, Settings())


def translated(documents: DocumentTranslator, name: str, content: bytes) -> bytes:
    request = DocumentRequest(name, content, "de", "en")
    return asyncio.run(documents.translate(request, "", DocumentProgress()))


def markdown_blocks(text: str) -> list[tuple[str, str]]:
    """Return the block tokens of a document, with the contents of code."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [(token.type, token.content if token.type == "fence" else "") for token in tokens]


def markdown_marks(text: str) -> Counter[tuple[str, str]]:
    """Return the marks within blocks, with the contents of code, and with addresses."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    inner = [one for token in tokens for one in token.children or [] if one.type not in {"text", "softbreak"}]
    contents = {"code_inline", "text_special"}
    return Counter((one.type, one.content if one.type in contents else str(one.attrs.get("href"))) for one in inner)


@bounded
@given(st.lists(BLOCKS, min_size=1, max_size=4).map("\n\n".join))
def test_markdown_keeps_its_blocks_and_marks(documents: DocumentTranslator, source: str) -> None:
    text = translated(documents, "a.md", source.encode()).decode()
    assert markdown_blocks(text) == markdown_blocks(source)
    marks, source_marks = markdown_marks(text), markdown_marks(source)
    emphasis = {mark for mark in {*marks, *source_marks} if mark[0].startswith(("strong_", "em_", "s_"))}
    assert {mark: n for mark, n in marks.items() if mark not in emphasis} == {
        mark: n for mark, n in source_marks.items() if mark not in emphasis
    }
    # Emphasis whose words were not translated, or that is within the same emphasis, may be left out.
    assert all(marks[mark] <= source_marks[mark] for mark in emphasis)


def elements(content: bytes) -> Counter[tuple[str, str]]:
    """Return the elements except for runs; one of a word may leave the link around it with the word."""
    return Counter(
        (one.tag, str(dict(one.attrib))) for one in office.tree(content).iter() if one.tag not in office.RUN_TAGS
    )


@bounded
@given(office.BODIES)
def test_docx_keeps_its_elements(documents: DocumentTranslator, inner: str) -> None:
    content = docx(inner)
    found = translated(documents, "a.docx", content)
    assert elements(found) == elements(content)
    assert office.blocks(found) == office.blocks(content)
    office.assert_valid(found)
    assert {**members(found), office.BODY: b""} == {**members(content), office.BODY: b""}


@bounded
@given(srt_files())
def test_srt_keeps_its_cues_and_tags(documents: DocumentTranslator, text: str) -> None:
    found = translated(documents, "a.srt", text.encode()).decode()
    assert found.count("\n") == text.count("\n")
    for line, other in zip(text.split("\n"), found.split("\n"), strict=True):
        if "-->" in line or not line.strip() or line.strip().isdigit():
            assert other == line  # numbers, times and line ends
    assert sorted(TAG.findall(found)) == sorted(TAG.findall(text))


@bounded
@given(po.FILES)
def test_po_keeps_all_lines_but_translations(documents: DocumentTranslator, inner: str) -> None:
    text = po.HEADER + inner
    found = translated(documents, "a.po", text.encode()).decode()
    assert po.other_lines(found) == po.other_lines(text)
    for old, new in zip(polib.pofile(text), polib.pofile(found), strict=True):
        assert (new.msgid, new.msgctxt, new.comment, new.flags) == (old.msgid, old.msgctxt, old.comment, old.flags)
        if old.msgstr:
            assert new.msgstr == old.msgstr
        elif not old.msgid_plural and not old.obsolete and any(map(str.isalpha, old.msgid)):
            assert new.msgstr.count("%s") == old.msgid.count("%s")
            assert new.msgstr.count("\n") == old.msgid.count("\n")

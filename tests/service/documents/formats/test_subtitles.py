"""Tests of service.documents.formats.subtitles."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.documents.formats.document import source_text
from service.documents.formats.subtitles import SRT, VTT, wrap
from service.errors import InvalidDocument
from tests.service.documents.helpers import OPTIONS, capitals, round_trip
from tests.service.text.markup.helpers import upper

TEXTS = ["one two", "<i>three</i> four", "{\\an8}five", "- six", "über", "<b>", "AT&T < 5"]
LINE_ENDS = st.sampled_from(["\n", "\r\n"])


@st.composite
def srt_files(draw: st.DrawFn) -> str:
    """Draw a file with any number of cues of any number of lines."""
    end = draw(LINE_ENDS)
    cues = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        lines = draw(st.lists(st.sampled_from(TEXTS), max_size=3))
        timing = f"00:00:0{number},000 --> 00:00:0{number},500" + draw(st.sampled_from(["", " ", " X1:1 X2:2"]))
        cues.append(end.join([str(number), timing, *lines, ""]))
    mark, last = draw(st.sampled_from(["", "\ufeff"])), draw(st.sampled_from(["", end, end + end]))
    return mark + end.join(cues) + last


@settings(max_examples=150, deadline=None)
@given(srt_files())
def test_subtitles_come_back_byte_for_byte(text: str) -> None:
    content = text.encode()
    assert round_trip(SRT.read, content) == content
    translated = round_trip(SRT.read, content, capitals).decode()
    lines, translated_lines = text.split("\n"), translated.split("\n")
    assert len(lines) == len(translated_lines)
    for line, other in zip(lines, translated_lines, strict=True):
        if "-->" in line or not line.strip() or line.strip().isdigit():
            assert other == line  # numbers, times and line ends
    tags = re.compile(r"<[^ >]*>|\{[^}]*\}")
    assert sorted(tags.sub("", translated).split()) == sorted(upper(tags.sub("", text)).split())
    assert tags.findall(translated) == tags.findall(text)


@pytest.mark.parametrize(
    ("cue", "expected"),
    [
        ("one two three four", "ONE TWO THREE FOUR"),
        ("one two three\nfour five six", "ONE TWO THREE\nFOUR FIVE SIX"),
        ("<i>one two\nthree four</i>", "<i>ONE TWO\nTHREE FOUR</i>"),
        ("- One two.\n- Three.", "- ONE TWO.\n- THREE."),
        ("{\\an8}one <font color='#fff'>two</font>", "{\\an8}ONE <font color='#fff'>TWO</font>"),
        ("♪ one ♪", "♪ ONE ♪"),
        ("12 & 5 < 7", "12 & 5 < 7"),
        ("a < b & c", "A < B & C"),
    ],
)
def test_a_cue_keeps_its_tags_and_lines(cue: str, expected: str) -> None:
    head = "7\n01:02:03,004 --> 01:02:05,006\n"
    assert round_trip(SRT.read, (head + cue + "\n").encode(), capitals).decode() == head + expected + "\n"


def test_a_sentence_over_two_lines_is_one_unit() -> None:
    document = SRT.read(b"1\n00:00:01,000 --> 00:00:02,000\none two\nthree.\n\n", OPTIONS)
    assert [unit if isinstance(unit, str) else unit.block_texts for unit in document.units] == [["one two three."]]
    assert [source_text(unit) for unit in document.units] == ["one two\nthree."]


VTT_FILE = """\ufeffWEBVTT - title

STYLE
::cue { color: red }

NOTE one two

intro
00:01.000 --> 00:02.000 align:start position:0%
<v Bob>one <c.loud>two</c> &amp; <00:01.500>three &lt;3

00:03.000 --> 00:04.000
four
"""


def test_webvtt_keeps_notes_styles_settings_and_times() -> None:
    expected = VTT_FILE.replace(
        "one <c.loud>two</c> &amp; <00:01.500>three &lt;3", "ONE <c.loud>TWO</c> &amp; <00:01.500>THREE &lt;3"
    ).replace("four", "FOUR")
    assert round_trip(VTT.read, VTT_FILE.encode(), capitals).decode() == expected
    assert round_trip(VTT.read, VTT_FILE.encode()) == VTT_FILE.encode()


@given(st.text("ab <i>{\\}", max_size=40), st.integers(1, 4))
def test_wrapping_changes_only_white_space(text: str, count: int) -> None:
    joined = " ".join(text.split())
    wrapped = wrap(joined, ["\n"] * count)
    assert wrapped.replace("\n", " ") == joined
    assert wrapped.count("\n") <= count


def test_a_file_without_a_cue_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="the srt file has no cue; a cue begins with a line such as '00:00:01,0"):
        SRT.read(b"one two\n", OPTIONS)


def test_time_is_linear() -> None:
    started = time.process_time()
    head = b"1\n00:00:01,000 --> 00:00:02,000\n"
    for body in (b"one\n" * 5_000, b"one " * 5_000, b"<i>" * 5_000 + b"one", b"\n" + head * 5_000, b"<" * 20_000):
        round_trip(SRT.read, head + body, capitals)
    assert time.process_time() - started < 20

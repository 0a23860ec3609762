"""Tests of service.text.segmentation.segmenter."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.text.alignment import AlignedText, AlignmentLink
from service.text.segmentation.protected_spans import find_protected_spans
from service.text.segmentation.segmenter import SPLIT_AT_PROTECTED, SPLIT_LONG_SENTENCE, plan_segmentation
from tests.service.text.segmentation.helpers import count_words, plan, rebuild, translate_plan

WORD = re.compile(r"[^\W\d_]+")
WORDS = ["house", "green", "Tom", "said", "über", "naïve", "straße", "we", "don't", "later"]
PROTECTED = [
    "{name}", "%s", "%(count)d", "${var}", "https://ex.org/a?b=c", "joe@mail.org", "`x = 1`", "<2xx>", "&nbsp;",
]  # fmt: skip
GAPS = [
    " ", "  ", "   ", "\n", "\r\n\r\n", "\n\n\n", "\t", "\u00a0 ",
    "\n- ", "\n* ", "\n12. ", "\n\t• ", " 😀 ", "\n---\n",
]  # fmt: skip


def reverse_words(text: str) -> AlignedText:
    return AlignedText(WORD.sub(lambda word: word[0][::-1], text))


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Draw documents with unusual white space, bullets, emoji, protected spans and lines in capitals."""
    unused = draw(st.permutations(PROTECTED))
    parts = [draw(st.sampled_from(["", "\n", "  ", "- ", "\ufeff"]))]
    for _ in range(draw(st.integers(0, 8))):
        sentence = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12))
        for _ in range(draw(st.integers(0, 2))):
            if unused:
                sentence.insert(draw(st.integers(0, len(sentence))), unused.pop())
        line = " ".join(sentence)
        if draw(st.booleans()) and not find_protected_spans(line):
            line = line.upper()
        parts += [line, draw(st.sampled_from([".", "!", "?", "", ":", "…", ", 1999."])), draw(st.sampled_from(GAPS))]
    return "".join(parts)


@settings(max_examples=200, deadline=None)
@given(st.one_of(texts(), st.text(max_size=120)), st.sampled_from([3, 8, 60]))
def test_copying_the_model_input_restores_the_text(text: str, limit: int) -> None:
    planned = plan(text, limit=limit)
    result = translate_plan(planned, AlignedText)
    assert result.text == text
    assert all(
        text[link.source_start : link.source_end] == text[link.target_start : link.target_end] for link in result.links
    )
    assert all(count <= limit for count in count_words(planned.model_inputs))


@settings(max_examples=200, deadline=None)
@given(texts(), st.sampled_from([8, 60]))
def test_everything_but_words_comes_through_unchanged(text: str, limit: int) -> None:
    result = translate_plan(plan(text, limit=limit), reverse_words)
    for span in PROTECTED:
        assert result.text.count(span) == text.count(span)
    assert WORD.sub("w", result.text) == WORD.sub("w", text)


@settings(max_examples=200, deadline=None)
@given(texts(), st.data())
def test_protected_spans_survive_any_translation(text: str, data: st.DataObject) -> None:
    def mangle(text: str) -> AlignedText:
        parts = text.split()
        match data.draw(st.sampled_from(["drop", "double", "shuffle", "join", "eat digits", "vanish", "as is"])):
            case "drop":
                parts = parts[::2]
            case "double":
                parts *= 2
            case "shuffle":
                parts = data.draw(st.permutations(parts))
            case "join":
                parts = ["".join(parts)]
            case "eat digits":
                parts = [re.sub(r"\d", "", text, count=1)]
            case "vanish":
                parts = []
        mangled = " ".join(parts)
        return AlignedText(mangled, (AlignmentLink(0, len(text), 0, len(mangled)),) if mangled else ())

    result = translate_plan(plan(text), mangle)
    for span in PROTECTED:
        assert result.text.count(span) == text.count(span)
    at = 0
    for gap in (part for part in plan(text).parts if isinstance(part, str)):
        at = result.text.index(gap, at) + len(gap)
    for link in result.links:
        assert 0 <= link.source_start <= link.source_end <= len(text)
        assert 0 <= link.target_start <= link.target_end <= len(result.text)


def test_the_model_reads_cleaned_sentences_with_placeholders() -> None:
    planned = plan("Dear {name},\n\n- Go\u00ad to  https://x.org!\u200b\tDO IT NOW, {name}!")
    assert planned.model_inputs == ["Dear 2013,", "Go to 2013!", "Do it now, 2013!"]
    assert planned.warnings == frozenset()


def test_units_are_split_around_spans_that_touch_a_word() -> None:
    planned = plan("The pre{x}fix and {y} stay.")
    assert planned.model_inputs == ["The pre", "fix and 2013 stay."]
    assert planned.warnings == {SPLIT_AT_PROTECTED}
    assert plan("word {a} " * 17).model_inputs == ["word"] * 17
    assert plan("{y} stays with us{x}").model_inputs == ["2013 stays with us"]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("one two three, four five six", ["one two three", "four five six"]),
        ("one two three four five six", ["one two three", "four five six"]),
        ("one, two three four five six", ["one, two three", "four five six"]),
    ],
)
def test_long_sentences_are_split_at_clauses_then_at_spaces(text: str, texts: list[str]) -> None:
    planned = plan(text, limit=4)
    assert [model_input.rstrip(",") for model_input in planned.model_inputs] == texts
    assert planned.warnings == {SPLIT_LONG_SENTENCE}


def test_long_words_are_split_between_letters() -> None:
    text = "e\u0301" * 20 + "👩\u200d🔬" + "a" * 20 + " {x}"
    planned = plan_segmentation(text, "en", "de", lambda texts: [len(text) for text in texts], 9)
    assert "".join(planned.model_inputs).count("\u0301") == 20
    assert not any(text.startswith("\u0301") for text in planned.model_inputs)
    assert rebuild(planned, *map(AlignedText, planned.model_inputs)).text == text


def test_a_unit_that_cannot_be_split_stays_too_long() -> None:
    assert plan_segmentation("a", "en", "de", lambda texts: [99 for _ in texts], 9).model_inputs == ["a"]

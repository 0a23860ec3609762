"""Texts come apart and together again: nothing is lost, whatever the translator does."""

import re
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.text.alignment import AlignedText, AlignmentLink, concatenate
from service.text.segmentation.placeholders import find_protected_spans
from service.text.segmentation.segmenter import (
    SPLIT_AT_PROTECTED,
    SPLIT_LONG_SENTENCE,
    SegmentationPlan,
    plan_segmentation,
)
from service.text.segmentation.units import TextPart, Unit

Translator = Callable[[str], AlignedText]
WORD = re.compile(r"[^\W\d_]+")
WORDS = ["house", "green", "Tom", "said", "über", "naïve", "straße", "we", "don't", "later"]
KEPT = ["{name}", "%s", "%(count)d", "${var}", "https://ex.org/a?b=c", "joe@mail.org", "`x = 1`", "<2xx>", "&nbsp;"]
GLUE = [
    " ",
    "  ",
    "\n",
    "\r\n\r\n",
    "\n\n\n",
    "\t",
    "\u00a0 ",
    "\n- ",
    "\n* ",
    "\n12. ",
    "\n\t• ",
    " 😀 ",
    "\n---\n",
    "   ",
]


def words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def plan(text: str, source: str = "en", target: str = "de", limit: int = 40) -> SegmentationPlan:
    return plan_segmentation(text, source, target, words, limit)


def run(planned: SegmentationPlan, translate: Translator) -> AlignedText:
    """Translate a plan as a service does, cutting up what lost something."""

    def parts(pieces: Sequence[TextPart], patience: int) -> Iterator[tuple[str, AlignedText]]:
        for piece in pieces:
            if isinstance(piece, str):
                yield piece, AlignedText.identity(piece)
            elif (restored := piece.restore(translate(piece.model_input))) is not None:
                yield piece.source, restored
            else:
                assert patience, "there is always something left that can fail"
                yield from parts(piece.fallback_parts(), patience - 1)

    return concatenate(parts(planned.parts, 2))


def rebuilt(planned: SegmentationPlan, *translations: AlignedText) -> AlignedText:
    """The text of a plan whose translations lose nothing."""
    given = iter(translations)
    return run(planned, lambda _: next(given))


def backwards(text: str) -> AlignedText:
    return AlignedText(WORD.sub(lambda word: word[0][::-1], text))


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Documents with odd white space, bullets, emoji, placeholders and shouting."""
    kept = draw(st.permutations([f"{thing}" for thing in KEPT]))
    parts = [draw(st.sampled_from(["", "\n", "  ", "- ", "\ufeff"]))]
    for _ in range(draw(st.integers(0, 8))):
        sentence = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12))
        for _ in range(draw(st.integers(0, 2))):
            if kept:
                sentence.insert(draw(st.integers(0, len(sentence))), kept.pop())
        line = " ".join(sentence)
        if draw(st.booleans()) and not find_protected_spans(line):
            line = line.upper()
        parts += [line, draw(st.sampled_from([".", "!", "?", "", ":", "…", ", 1999."])), draw(st.sampled_from(GLUE))]
    return "".join(parts)


@settings(max_examples=200, deadline=None)
@given(st.one_of(texts(), st.text(max_size=120)), st.sampled_from([3, 8, 60]))
def test_a_translator_that_changes_nothing_changes_nothing(text: str, limit: int) -> None:
    planned = plan(text, limit=limit)
    result = run(planned, AlignedText)
    assert result.text == text
    assert all(
        text[link.source_start : link.source_end] == text[link.target_start : link.target_end] for link in result.links
    )
    assert all(count <= limit for count in words(planned.model_inputs))


@settings(max_examples=200, deadline=None)
@given(texts(), st.sampled_from([8, 60]))
def test_only_words_change(text: str, limit: int) -> None:
    result = run(plan(text, limit=limit), backwards)
    for thing in KEPT:
        assert result.text.count(thing) == text.count(thing)
    assert WORD.sub("w", result.text) == WORD.sub("w", text)


@settings(max_examples=200, deadline=None)
@given(texts(), st.data())
def test_whatever_the_translator_does_what_is_protected_is_there_once(text: str, data: st.DataObject) -> None:
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
        made = " ".join(parts)
        return AlignedText(made, (AlignmentLink(0, len(text), 0, len(made)),) if made else ())

    result = run(plan(text), mangle)
    for thing in KEPT:
        assert result.text.count(thing) == text.count(thing)
    assert result.text.count("1999") >= min(1, text.count("1999"))
    at = 0
    for glue in (piece for piece in plan(text).parts if isinstance(piece, str)):
        at = result.text.index(glue, at) + len(glue)
    for link in result.links:
        assert 0 <= link.source_start <= link.source_end <= len(text)
        assert 0 <= link.target_start <= link.target_end <= len(result.text)


def test_the_model_reads_clean_sentences() -> None:
    planned = plan("Dear {name},\n\n- Go\u00ad to  https://x.org!\u200b\tDO IT NOW, {name}!")
    assert planned.model_inputs == ["Dear 2013,", "Go to 2013!", "Do it now, 2013!"]
    assert planned.warnings == frozenset()


def test_links_lead_back_to_the_source() -> None:
    text = "Ask {name} NOW.  ICH BIN DA"
    planned = plan(text, "de", "de")
    first = AlignedText(
        "Now 2013 ask.", (AlignmentLink(9, 12, 0, 3), AlignmentLink(0, 3, 9, 12), AlignmentLink(4, 8, 4, 8))
    )
    second = AlignedText("Straße hier", (AlignmentLink(0, 3, 0, 6), AlignmentLink(8, 10, 7, 11)))
    result = rebuilt(planned, first, second)
    assert result.text == "Now {name} ask.  STRASSE HIER"
    found = {(result.text[b:d], text[a:c]) for a, c, b, d in result.links}
    assert {("Now", "NOW"), ("ask", "Ask"), ("{name}", "{name}"), ("STRASSE", "ICH"), ("HIER", "DA")} <= found


def test_wide_gaps_inside_a_sentence_go_as_far_along() -> None:
    planned = plan("One  two three four.")
    assert planned.model_inputs == ["One two three four."]
    assert rebuilt(planned, AlignedText("A b c d e f g.")).text == "A  b c d e f g."
    assert rebuilt(planned, AlignedText("Abc.")).text == "Abc."


def test_a_number_that_is_lost_is_held_and_then_cut_out() -> None:
    (unit,) = plan("It costs 5,000 yen.").units
    lost, held = AlignedText("Es kostet viel."), AlignedText("Es kostet 2013 Yen.")
    assert unit.restore(lost) is None
    (holding,) = unit.fallback_parts()
    assert isinstance(holding, Unit)
    assert holding.model_input == "It costs 2013 yen."
    assert holding.restore(held) == AlignedText("Es kostet 5,000 Yen.", (AlignmentLink(9, 14, 10, 15),))
    assert holding.restore(lost) is None
    assert [part if isinstance(part, str) else part.model_input for part in holding.fallback_parts() if part] == [
        "It costs", " ", "5,000", " ", "yen.",
    ]  # fmt: skip


def test_spans_that_touch_a_word_are_cut_out_at_once() -> None:
    planned = plan("The pre{x}fix and {y} stay.")
    assert planned.model_inputs == ["The pre", "fix and 2013 stay."]
    assert planned.warnings == {SPLIT_AT_PROTECTED}
    assert plan("word {a} " * 9).model_inputs == ["word"] * 9
    assert plan("{y} stays with us{x}").model_inputs == ["2013 stays with us"]


def test_a_unit_needs_stand_ins() -> None:
    with pytest.raises(ValueError, match="split the unit"):
        _ = Unit("a{x}", 0, ("en", "de"), ((1, 4),)).model_input


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("one two three, four five six", ["one two three", "four five six"]),
        ("one two three four five six", ["one two three", "four five six"]),
        ("one, two three four five six", ["one, two three", "four five six"]),
    ],
)
def test_long_sentences_are_cut_at_clauses_then_at_spaces(text: str, texts: list[str]) -> None:
    planned = plan(text, limit=4)
    assert [one.rstrip(",") for one in planned.model_inputs] == texts
    assert planned.warnings == {SPLIT_LONG_SENTENCE}


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("A heading", "Eine Überschrift.", "Eine Überschrift"),
        ("A sentence.", "Ein Satz.", "Ein Satz."),
        ("Wait", "Warte...", "Warte..."),
        ("Really?", "Wirklich.", "Wirklich."),
        ('He said "Yes."', 'Er sagte "Ja".', 'Er sagte "Ja".'),
        ("(Yes!)", "Ja.", "Ja."),
        ('He said "Yes"', 'Er sagte "Ja".', 'Er sagte "Ja"'),
    ],
)
def test_a_point_that_the_source_has_not_goes(source: str, target: str, expected: str) -> None:
    assert rebuilt(plan(source), AlignedText(target)).text == expected


def test_long_words_are_cut_between_letters() -> None:
    text = "e\u0301" * 20 + "👩\u200d🔬" + "a" * 20 + " {x}"
    planned = plan_segmentation(text, "en", "de", lambda texts: [len(text) for text in texts], 9)
    assert "".join(planned.model_inputs).count("\u0301") == 20
    assert not any(text.startswith("\u0301") for text in planned.model_inputs)
    assert rebuilt(planned, *map(AlignedText, planned.model_inputs)).text == text


def test_what_cannot_be_cut_stays() -> None:
    assert plan_segmentation("a", "en", "de", lambda texts: [99 for _ in texts], 9).model_inputs == ["a"]


def test_turkish_capitals_keep_their_dots() -> None:
    planned = plan("IŞIK VAR İÇİNDE", "tr", "tr-TR")
    assert planned.model_inputs == ["Işık var içinde"]
    assert rebuilt(planned, AlignedText("iyi ışık")).text == "İYİ IŞIK"

"""Tests of service.text.segmentation.sentences."""

import re
import time

import pytest
import sentencex
from hypothesis import given
from hypothesis import strategies as st

from service.text.segmentation.sentences import find_sentences


def split(text: str, language: str = "en", protected: tuple[tuple[int, int], ...] = ()) -> list[str]:
    return [text[start:end] for start, end in find_sentences(text, language, protected)]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "One. Two!  Three?", ["One.", "Two!", "Three?"]),
        ("en", "Dr. Ox met J. R. Hill at 5 p.m. on Friday. No.", ["Dr. Ox met J. R. Hill at 5 p.m. on Friday.", "No."]),
        ("de", "Es ist z. B. ca. am 3. Mai, d. h. bald, Dr. Ex.", ["Es ist z. B. ca. am 3. Mai, d. h. bald, Dr. Ex."]),
        ("de", "Der 1. FC Köln im 19. Jahr. Warum?", ["Der 1. FC Köln im 19. Jahr.", "Warum?"]),
        ("fr", "M. Dupont est arrivé. Il dort.", ["M. Dupont est arrivé.", "Il dort."]),
        ("es", "El Sr. García llegó. ¿Cómo está Ud.? Bien.", ["El Sr. García llegó.", "¿Cómo está Ud.?", "Bien."]),
        ("en", "See foo.Bar and a.B.C today.", ["See foo.Bar and a.B.C today."]),
        ("zh", "我喜欢你。你呢？好的。", ["我喜欢你。", "你呢？", "好的。"]),
        ("en", '"Why?" he asked. (Yes.)', ['"Why?" he asked.', "(Yes.)"]),
        ("en", "I met Ms. Green, a Ph.D. from Ohio. She is 5 ft. tall.",
         ["I met Ms. Green, a Ph.D. from Ohio.", "She is 5 ft. tall."]),
        ("en", "It is five ft. We go.", ["It is five ft.", "We go."]),
        ("fr", "Le Dr. Martin et Mme. Bois sont là. Env. 5 km. plus loin.",
         ["Le Dr. Martin et Mme. Bois sont là.", "Env. 5 km. plus loin."]),
        ("de", "Preis inkl. Porto, zzgl. Steuer. Gut.", ["Preis inkl. Porto, zzgl. Steuer.", "Gut."]),
        ("es", "Son aprox. Diez. La Cía. Lopez.", ["Son aprox. Diez.", "La Cía. Lopez."]),
        ("de", "15. August 2020 war gut.\n3. Marke", ["15. August 2020 war gut.", "Marke"]),
        ("xx", "No such language. It works.", ["No such language.", "It works."]),
        ("en", "", []),
        ("en", " \n\t ", []),
        ("en", "12:30\n---\n$5.00\n***", []),
    ],
)  # fmt: skip
def test_sentences_end_at_full_stops_but_not_at_abbreviations(language: str, text: str, expected: list[str]) -> None:
    assert split(text, language) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- one\n* two\n  • three\n1. four\n2) five\n(iii) six\n[x] seven", "one two three four five six seven"),
        ("# Title\r\n\r\n> quoted\r\n| a | b |\r\n|---|---|", "Title quoted a b"),
        ("name\tvalue\nlong name    other value", "name|value|long name|other value"),
        ("Thanks 😀 see you 👩‍❤️‍👨", "Thanks|see you"),
        ("\u00a0\u2003Hello.\u00a0\u00a0Bye.\u200b", "Hello.|Bye."),
        ("3️⃣ steps → done", "steps|done"),
        ("A 1.5 litre bottle", "A 1.5 litre bottle|"),
    ],
)
def test_bullets_separators_and_pictographs_are_outside_sentences(text: str, expected: str) -> None:
    assert split(text) == [part for part in (expected.split("|") if "|" in expected else expected.split()) if part]


@given(st.text("aBcéÖß ,'’.!?\n1(", max_size=40), st.sampled_from(["en", "de", "fr", "es", "ja", "xx"]))
def test_plain_sentences_are_those_that_sentencex_finds(text: str, language: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        found = find_sentences(text, language)
        patch.setattr("service.text.segmentation.sentences._PLAIN_SENTENCE", re.compile("(?!)"))
        assert find_sentences(text, language) == found


def test_no_sentence_ends_inside_a_protected_span() -> None:
    text = "Say /yes. There/ and go. Now."
    assert split(text) == ["Say /yes.", "There/ and go.", "Now."]
    assert split(text, protected=((4, 16),)) == ["Say /yes. There/ and go.", "Now."]
    assert split("a `x\ty` b", protected=((2, 7),)) == ["a `x\ty` b"]
    assert split("`abc` 😀", protected=((0, 5),)) == []


def test_a_long_quotation_is_split_into_sentences() -> None:
    text = (
        'He said: "It is a rather long story that I tell you. now. It began on a dark and stormy night, far away from '
        'all that we know and love and long for, and it never really ended. " But she „did not listen“ to him. '
        "„Nobody listened, and so it went on and on until morning.“ End."
    )
    found = split(text)
    assert [sentence[:8] for sentence in found] == ["He said:", "It began", "But she ", "„Nobody ", "End."]
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


def test_a_panic_of_sentencex_leaves_the_text_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert split("Plan A\u00a0. Z\u0085. b\u00a0. \x00 Then. \ud800") != []

    class PanicException(BaseException):
        pass

    def fail(*_: str) -> list[str]:
        raise failure

    monkeypatch.setattr(sentencex, "segment", fail)
    failure: BaseException = PanicException()
    assert split("One. Two.") == ["One. Two."]
    failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        split("One. Two.")


def test_a_result_of_sentencex_that_loses_text_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentencex, "segment", lambda language, text: [text[:3]])
    assert split("One. Two.") == ["One. Two."]


def test_sentences_at_window_borders_stay_whole() -> None:
    text = "This is a sentence. " * 1000
    assert set(split(text)) == {"This is a sentence."}
    assert len(split(text)) == 1000
    assert "".join(split("word " * 2000)).count("word") == 2000


@pytest.mark.parametrize(
    "unit", [".", "a.a.", " ", "a", "Dr. ", "“a. ", "« a. ", "1. ", "(", "😀", "\t", "|", "[x] ", "'"]
)
def test_time_is_linear_for_crafted_text(unit: str) -> None:
    text = (unit * 20_000)[:20_000]
    started = time.process_time()
    find_sentences(text, "en")
    assert time.process_time() - started < 2

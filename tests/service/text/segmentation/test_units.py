"""Tests of service.text.segmentation.units."""

import pytest

from service.text.alignment import AlignedText, AlignmentLink
from service.text.segmentation.units import Unit
from tests.service.text.segmentation.helpers import plan, rebuild


def test_links_are_mapped_back_to_the_source() -> None:
    text = "Ask {name} NOW.  ICH BIN DA"
    planned = plan(text, "de", "de")
    first = AlignedText(
        "Now 2013 ask.", (AlignmentLink(9, 12, 0, 3), AlignmentLink(0, 3, 9, 12), AlignmentLink(4, 8, 4, 8))
    )
    second = AlignedText("Straße hier", (AlignmentLink(0, 3, 0, 6), AlignmentLink(8, 10, 7, 11)))
    result = rebuild(planned, first, second)
    assert result.text == "Now {name} ask.  STRASSE HIER"
    found = {(result.text[b:d], text[a:c]) for a, c, b, d in result.links}
    assert {("Now", "NOW"), ("ask", "Ask"), ("{name}", "{name}"), ("STRASSE", "ICH"), ("HIER", "DA")} <= found


def test_wide_gaps_are_restored_at_the_same_relative_position() -> None:
    planned = plan("One  two three four.")
    assert planned.model_inputs == ["One two three four."]
    assert rebuild(planned, AlignedText("A b c d e f g.")).text == "A  b c d e f g."
    assert rebuild(planned, AlignedText("Abc.")).text == "Abc."


def test_numbers_get_placeholders_and_then_are_split_off() -> None:
    (unit,) = plan("It costs 5,000 yen.").units
    retry = unit.with_numbers()
    assert retry is not None
    assert (retry.model_input, retry.required) == ("It costs 2013 yen.", ["2013"])
    kept = AlignedText("Es kostet 2013 Yen.")
    assert retry.restore(kept) == AlignedText("Es kostet 5,000 Yen.", (AlignmentLink(9, 14, 10, 15),))
    assert retry.restore(AlignedText("Es kostet viel.")) is None
    assert [part if isinstance(part, str) else part.model_input for part in retry.fallback_parts() if part] == [
        "It costs", " ", "5,000", " ", "yen.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "model_input", "translation", "expected"),
    [
        ("Stop!!!!", "Stop!", "Halt!", "Halt!!!!"),
        ("Stop!!!!", "Stop!", "Halt", "Halt!!!!"),
        ("What?!?", "What?", "Was ist los.", "Was ist los?!?"),
        ("Well...", "Well.", "Nun!!", "Nun..."),
        ("Non !!", "Non!", "Nein !", "Nein !!"),
        ('He said "Go..."', 'He said "Go."', "Er sagte „Geh.“", "Er sagte „Geh...“"),
        ("The 8th.", "The 2013.", "Der 2013.", "Der 8."),
        ("In ({a}).", "In (2013).", "Im ( 2013).", "Im ({a})."),
    ],
)
def test_runs_of_punctuation_and_ordinal_numbers_are_restored(
    source: str, model_input: str, translation: str, expected: str
) -> None:
    (unit,) = plan(source).units
    unit = unit.with_numbers() or unit
    assert unit.model_input == model_input
    restored = unit.restore(AlignedText(translation))
    assert restored is not None
    assert restored.text == expected


@pytest.mark.parametrize(
    ("source", "languages", "model_input", "output", "expected"),
    [
        ('"I am tired."', ("en", "de"), "I am tired.", "Ich bin müde.", "„Ich bin müde.“"),
        ("„Ich bin müde“.", ("de", "en"), "Ich bin müde", "I am tired.", '"I am tired".'),
        ('"Is it he?!"', ("en", "fr"), "Is it he?", "Est-ce lui ?", "«\u00a0Est-ce lui?!\u00a0»"),
        ("(Go home.)", ("en", "es"), "Go home.", "Ve a casa.", "(Ve a casa.)"),
        ('"Go," he said, "home."', ("en", "de"), '"Go," he said, "home."', "„Geh“, sagte er.", "„Geh“, sagte er."),
        ('"Go home."', ("en", "fi"), "Go home.", "Mene.", '"Mene."'),
    ],
)
def test_signs_around_a_sentence_are_not_read(
    source: str, languages: tuple[str, str], model_input: str, output: str, expected: str
) -> None:
    (unit,) = plan(source, *languages).units
    assert unit.model_input == model_input
    restored = unit.restore(AlignedText(output))
    assert restored is not None
    assert restored.text == expected


@pytest.mark.parametrize(
    ("source", "model_input", "output", "expected"),
    [
        (
            "Five men have 20 dogs.",
            "2013 men have 2003 dogs.",
            "2013 Männer haben 2003 Hunde.",
            "Fünf Männer haben 20 Hunde.",
        ),
        ("It is twenty-one.", "It is 2013.", "Es ist 2013.", "Es ist 21."),
        ("GIVE ME TWO DOGS!", "Give me 2013 dogs!", "Gib mir 2013 Hunde!", "GIB MIR ZWEI HUNDE!"),
    ],
)
def test_number_words_get_placeholders(source: str, model_input: str, output: str, expected: str) -> None:
    (unit,) = plan(source).units
    retry = unit.with_numbers(words=True)
    assert retry is not None
    assert retry.model_input == model_input
    restored = retry.restore(AlignedText(output))
    assert restored is not None
    assert restored.text == expected


def test_a_unit_is_split_around_its_signs() -> None:
    (unit,) = plan('"Go," he said - and left (fast).').units
    assert "".join(part if isinstance(part, str) else f"<{part.source}>" for part in unit.split_around_signs()) == (
        '"<Go>," <he said> - <and left> (<fast>).'
    )
    (plain,) = plan("He went.").units
    assert plain.split_around_signs() == [plain]


def test_model_input_fails_without_placeholders() -> None:
    with pytest.raises(ValueError, match="split the unit"):
        _ = Unit("a{x}", 0, ("en", "de"), ((1, 4),)).model_input


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("A heading", "Eine Überschrift.", "Eine Überschrift"),
        ("A sentence.", "Ein Satz.", "Ein Satz."),
        ("Wait", "Warte...", "Warte..."),
        ("Really?", "Wirklich.", "Wirklich."),
        ('He said "Yes."', 'Er sagte "Ja".', 'Er sagte "Ja".'),
        ("(Yes!)", "Ja.", "(Ja.)"),
        ('He said "Yes"', 'Er sagte "Ja".', 'Er sagte "Ja"'),
    ],
)
def test_a_full_stop_that_the_source_lacks_is_removed(source: str, target: str, expected: str) -> None:
    assert rebuild(plan(source), AlignedText(target)).text == expected


def test_turkish_capitals_keep_the_dot_of_i() -> None:
    planned = plan("IŞIK VAR İÇİNDE", "tr", "tr-TR")
    assert planned.model_inputs == ["Işık var içinde"]
    assert rebuild(planned, AlignedText("iyi ışık")).text == "İYİ IŞIK"


def test_dashes_are_those_of_the_source_if_there_are_as_many() -> None:
    unit = Unit("A dog — and a cat – here.", 0, ("en", "de"))
    for output in ("Ein Hund – und eine Katze – hier.", "Ein Hund - und eine Katze — hier."):
        restored = unit.restore(AlignedText(output))
        assert restored is not None
        assert restored.text == "Ein Hund — und eine Katze – hier."
    assert unit.restore(AlignedText("Ein Hund – hier.")) == AlignedText("Ein Hund – hier.")

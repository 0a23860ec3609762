"""Which language a text is in, which model translates it, and the way by English where none does."""

from pathlib import Path

import pytest

from service.engine.queue import QueueFull
from service.engine.types import EngineRequest
from service.errors import UnknownModel
from service.translation.request import Detection
from tests.service.translation.helpers import (
    backwards,
    capitals,
    detect,
    labelling,
    speaking,
    streamed,
    translate,
    translated,
    translator,
)

LABELS = ["de", "en", "fr"]


def language(text: str) -> list[float]:
    """By the first word."""
    rows = {
        "haus": [0.9, 0.06, 0.04],
        "maison": [0.01, 0.02, 0.97],
        "gris": [0.005, 0.3, 0.695],
        "?": [0.04, 0.05, 0.9],
    }
    return rows.get(text.split()[0], [0.1, 0.8, 0.1])


def test_a_given_source_is_believed(toy_translator: Path, toy_classifier: Path) -> None:
    model, _ = speaking(toy_translator, "en-de", ("en", "de"), backwards)
    with translator(model, labelling(toy_classifier, LABELS, language)) as core:
        [result] = translate(core, "maison", source="en")
    assert (result.text, result.source, result.detected, result.warnings) == ("nosiam", "en", None, [])


@pytest.mark.parametrize("source", [None, "auto"])
def test_the_classifier_decides_for_each_text(toy_translator: Path, toy_classifier: Path, source: str | None) -> None:
    english, _ = speaking(toy_translator, "en-de", ("en", "de"), backwards)
    french, _ = speaking(toy_translator, "fr-de", ("fr", "de"), capitals)
    with translator(english, french, labelling(toy_classifier, LABELS, language)) as core:
        done = translated(core, "house", "maison", "haus one", source=source)
    assert [result.text for result in done.results] == ["esuoh", "MAISON", "haus one"]  # the last one is German already
    assert [result.source for result in done.results] == ["en", "fr", "de"]
    assert [result.detected for result in done.results] == [
        Detection("en", 0.8), Detection("fr", 0.97), Detection("de", 0.9),
    ]  # fmt: skip
    assert done.model == "en-de+fr-de"


def test_only_languages_that_can_be_translated_are_chosen(toy_translator: Path, toy_classifier: Path) -> None:
    model, _ = speaking(toy_translator, "en-de", ("en", "de"), backwards)
    with translator(model, labelling(toy_classifier, LABELS, language)) as core:
        likely, guessed = translate(core, "gris", "maison")
    assert (likely.text, likely.detected, likely.warnings) == ("sirg", Detection("en", 0.3), [])
    assert (guessed.text, guessed.detected) == ("nosiam", Detection("en", 0.02))
    assert guessed.warnings == ["source_unsure"]


def test_addresses_do_not_tell_a_language(toy_translator: Path, toy_classifier: Path) -> None:
    heard: list[str] = []

    def listen(text: str) -> list[float]:
        heard.append(text)
        return language("house")

    model, _ = speaking(toy_translator, "en-de", ("en", "de"), backwards)
    with translator(model, labelling(toy_classifier, LABELS, listen)) as core:
        translate(core, "See https://maison.fr/x now. " + "word " * 400)
        translate(core, "https://maison.fr/x\n" * 200 + "see the house")  # however many there are before the words
        translate(core, " " * 3000 + "see the dog")
    assert heard[0].startswith("see now. word word")
    assert len(heard[0]) < 400
    assert heard[1].endswith("see the house")
    assert heard[2] == "see the dog"


def test_a_direction_that_is_missing_goes_by_english(toy_translator: Path) -> None:
    first, read = speaking(toy_translator, "fr-en", ("fr", "en"), backwards)
    second, written = speaking(toy_translator, "en-de", ("en", "de"), lambda text, _: text.replace("esuoh", "Haus"))
    with translator(first, second) as core:
        assert core.language_pairs() == [("en", "de"), ("fr", "de"), ("fr", "en")]
        done = translated(core, "house red.\n\n house {name}, 1999!", source="fr")
        assert [result.text for result in done.results] == ["Haus der.\n\n Haus {name}, 1999!"]
        assert (done.model, done.results[0].source, done.results[0].target) == ("fr-en+en-de", "fr", "de")
        with pytest.raises(UnknownModel):
            translate(core, "house", source="de", target="fr")
        with pytest.raises(UnknownModel):
            translate(core, "house", source="fr", model="en-de")
    assert read.heard == ["house red.", "house 2013, 1999!"]
    assert written.heard == ["esuoh der.", "esuoh 2013, 1999!"]


def test_what_is_too_long_for_the_second_model_is_split(toy_translator: Path) -> None:
    """The first model's limit is 48 tokens here, and the second's too, but its texts are longer."""
    first, _ = speaking(toy_translator, "fr-en", ("fr", "en"), lambda text, _: " ".join(text.split() * 3))
    second, read = speaking(toy_translator, "en-de", ("en", "de"), capitals)
    with translator(first, second) as core:
        [result] = translate(core, "one two three four five six seven eight nine ten eleven twelve", source="fr")
    assert result.warnings[-1] == "split_long_sentence"
    assert len(read.heard) >= 2
    assert result.text.count("TWELVE") == 3


def test_what_is_split_on_its_way_and_finds_no_room_stays_as_it_was(toy_translator: Path) -> None:
    def full(engine_requests: list[EngineRequest]) -> None:
        raise QueueFull(99)

    text = "one two three four five six seven eight nine ten eleven twelve"
    first, _ = speaking(toy_translator, "fr-en", ("fr", "en"), lambda text, _: " ".join(text.split() * 3))
    second, _ = speaking(toy_translator, "en-de", ("en", "de"), capitals)
    second.worker_pool.queue.submit = full  # type: ignore[method-assign, assignment]
    with translator(first, second) as core:
        [result] = translate(core, text, source="fr")
        told, [again] = streamed(core, text, source="fr")
    assert result.text == again.text == told == text
    assert "not_translated" in result.warnings


def test_languages_are_found_out_for_whoever_asks(toy_translator: Path, toy_classifier: Path) -> None:
    model, _ = speaking(toy_translator, "en-de", ("en", "de"), backwards)
    with translator(model, labelling(toy_classifier, LABELS, language)) as core:
        found = detect(core, "house", "maison")
    assert [[one.language for one in ranked] for ranked in found] == [["en", "de", "fr"], ["fr", "en", "de"]]
    other, _ = speaking(toy_translator, "en-de", ("en", "de"), backwards)
    with translator(other) as core, pytest.raises(UnknownModel, match="'langid' is served"):
        detect(core, "house")


def test_without_a_classifier_the_only_source_is_meant(toy_translator: Path) -> None:
    model, _ = speaking(toy_translator, "en-de", ("en", "de"), backwards)
    with translator(model) as core:
        [result] = translate(core, "house", source="auto")
    assert (result.text, result.source, result.detected) == ("esuoh", "en", None)

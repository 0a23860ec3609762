"""Language detection, the choice of a model, and translation by way of English."""

from pathlib import Path

import pytest

from service.engine.occupancy import QueueFull
from service.engine.types import EngineRequest
from service.errors import UnknownModel
from service.translation.request import Detection
from tests.service.translation.helpers import (
    detect,
    fake_detector,
    fake_translator,
    open_translator,
    respond_to,
    reverse_words,
    stream,
    translate,
    upper_case,
)

LABELS = ["de", "en", "fr"]


def language_of(text: str) -> list[float]:
    """Return the probabilities of a text's languages, by its first word."""
    rows = {
        "haus": [0.9, 0.06, 0.04],
        "maison": [0.01, 0.02, 0.97],
        "gris": [0.005, 0.3, 0.695],
        "?": [0.04, 0.05, 0.9],
    }
    return rows.get(text.split()[0], [0.1, 0.8, 0.1])


def test_a_given_source_is_not_detected(toy_translator: Path, toy_classifier: Path) -> None:
    model, _ = fake_translator(toy_translator, "en", "de", reverse_words)
    with open_translator(model, fake_detector(toy_classifier, LABELS, language_of)) as translator:
        [result] = translate(translator, "maison", source="en")
    assert (result.text, result.source, result.detected, result.warnings) == ("nosiam", "en", None, [])


@pytest.mark.parametrize("source", [None, "auto"])
def test_the_language_of_each_text_is_detected(toy_translator: Path, toy_classifier: Path, source: str | None) -> None:
    english, _ = fake_translator(toy_translator, "en", "de", reverse_words)
    french, _ = fake_translator(toy_translator, "fr", "de", upper_case)
    with open_translator(english, french, fake_detector(toy_classifier, LABELS, language_of)) as translator:
        response = respond_to(translator, "house", "maison", "haus one", source=source)
    assert [result.text for result in response.results] == [
        "esuoh",
        "MAISON",
        "haus one",
    ]  # the last one is German already
    assert [result.source for result in response.results] == ["en", "fr", "de"]
    assert [result.detected for result in response.results] == [
        Detection("en", 0.8), Detection("fr", 0.97), Detection("de", 0.9),
    ]  # fmt: skip
    assert response.model == "en-de+fr-de"


def test_only_source_languages_of_a_model_are_chosen(toy_translator: Path, toy_classifier: Path) -> None:
    model, _ = fake_translator(toy_translator, "en", "de", reverse_words)
    with open_translator(model, fake_detector(toy_classifier, LABELS, language_of)) as translator:
        likely, guessed = translate(translator, "gris", "maison")
    assert (likely.text, likely.detected, likely.warnings) == ("sirg", Detection("en", 0.3), [])
    assert (guessed.text, guessed.detected) == ("nosiam", Detection("en", 0.02))
    assert guessed.warnings == ["source_unsure"]


def test_addresses_are_left_out_of_the_sample(toy_translator: Path, toy_classifier: Path) -> None:
    samples: list[str] = []

    def record(text: str) -> list[float]:
        samples.append(text)
        return language_of("house")

    model, _ = fake_translator(toy_translator, "en", "de", reverse_words)
    with open_translator(model, fake_detector(toy_classifier, LABELS, record)) as translator:
        translate(translator, "See https://maison.fr/x now. " + "word " * 400)
        translate(translator, "https://maison.fr/x\n" * 200 + "see the house")  # more addresses than one window holds
        translate(translator, " " * 3000 + "see the dog")
    assert samples[0].startswith("see now. word word")
    assert len(samples[0]) < 400
    assert samples[1].endswith("see the house")
    assert samples[2] == "see the dog"


def test_a_missing_direction_goes_by_way_of_english(toy_translator: Path) -> None:
    first, first_engine = fake_translator(toy_translator, "fr", "en", reverse_words)
    second, second_engine = fake_translator(toy_translator, "en", "de", lambda text, _: text.replace("esuoh", "Haus"))
    with open_translator(first, second) as translator:
        assert translator.language_pairs() == [("en", "de"), ("fr", "de"), ("fr", "en")]
        response = respond_to(translator, "house red.\n\n house {name}, 1999!", source="fr")
        assert [result.text for result in response.results] == ["Haus der.\n\n Haus {name}, 1999!"]
        assert (response.model, response.results[0].source, response.results[0].target) == ("fr-en+en-de", "fr", "de")
        with pytest.raises(UnknownModel):
            translate(translator, "house", source="de", target="fr")
        with pytest.raises(UnknownModel):
            translate(translator, "house", source="fr", model="en-de")
    assert first_engine.sources == ["house red.", "house 2013, 2003!"]
    assert second_engine.sources == ["esuoh der.", "esuoh 2013, 2003!"]


def test_a_pivot_text_too_long_for_the_second_model_is_split(toy_translator: Path) -> None:
    """Both models read at most 48 tokens; the first makes its texts longer."""
    first, _ = fake_translator(toy_translator, "fr", "en", lambda text, _: " ".join(text.split() * 3))
    second, second_engine = fake_translator(toy_translator, "en", "de", upper_case)
    with open_translator(first, second) as translator:
        [result] = translate(translator, "one two three four five six seven eight nine ten eleven twelve", source="fr")
    assert result.warnings[-1] == "split_long_sentence"
    assert len(second_engine.sources) >= 2
    assert result.text.count("TWELVE") == 3


def test_a_split_segment_keeps_its_source_if_the_second_queue_is_full(toy_translator: Path) -> None:
    def full(requests: list[EngineRequest]) -> None:
        raise QueueFull(99, 99)

    text = "one two three four five six seven eight nine ten eleven twelve"
    first, _ = fake_translator(toy_translator, "fr", "en", lambda text, _: " ".join(text.split() * 3))
    second, _ = fake_translator(toy_translator, "en", "de", upper_case)
    second.worker_pool.queue.submit = full  # type: ignore[method-assign, assignment]
    with open_translator(first, second) as translator:
        [result] = translate(translator, text, source="fr")
        deltas, [again] = stream(translator, text, source="fr")
    assert result.text == again.text == deltas == text
    assert "not_translated" in result.warnings


def test_detect_returns_the_languages_that_are_translated(toy_translator: Path, toy_classifier: Path) -> None:
    detector = fake_detector(toy_classifier, LABELS, language_of)
    models = [fake_translator(toy_translator, *pair, reverse_words)[0] for pair in (("en", "de"), ("fr", "en"))]
    with open_translator(*models, detector) as translator:
        detections = detect(translator, "house", "maison")
        assert [[one.language for one in ranked] for ranked in detections] == [["en", "de", "fr"], ["fr", "en", "de"]]
    model, _ = fake_translator(toy_translator, "en", "de", reverse_words)
    with open_translator(model, fake_detector(toy_classifier, LABELS, language_of)) as translator:
        assert detect(translator, "maison") == [[Detection("en", 0.02), Detection("de", 0.01)]]
    with open_translator(fake_detector(toy_classifier, LABELS, language_of)) as translator:  # nothing translates
        assert detect(translator, "maison")[0][0] == Detection("fr", 0.97)
    other, _ = fake_translator(toy_translator, "en", "de", reverse_words)
    with open_translator(other) as translator, pytest.raises(UnknownModel, match="'langid' is served"):
        detect(translator, "house")


def test_a_text_without_a_letter_has_a_language_with_confidence_0(toy_translator: Path, toy_classifier: Path) -> None:
    asked: list[str] = []

    def record(text: str) -> list[float]:
        asked.append(text)
        return language_of(text)

    model, _ = fake_translator(toy_translator, "fr", "de", reverse_words)
    with open_translator(model, fake_detector(toy_classifier, LABELS, record)) as translator:
        assert detect(translator, "12.5", "", " \n", "?!") == [[Detection("de", 0.0)]] * 4
        [result] = translate(translator, "1999")
    assert (result.text, result.detected, result.warnings) == ("1999", Detection("fr", 0.0), [])
    assert asked == []


def test_labels_of_the_detector_are_matched_with_the_languages_of_the_models(
    toy_translator: Path, toy_classifier: Path
) -> None:
    model, _ = fake_translator(toy_translator, "fr-CA", "de_AT", reverse_words)
    with open_translator(model, fake_detector(toy_classifier, ["deu", "en", "fr-CA"], language_of)) as translator:
        [result] = translate(translator, "maison", target="de")
        assert detect(translator, "haus") == [[Detection("de_AT", 0.9), Detection("fr-CA", 0.04)]]
    assert (result.text, result.source, result.target) == ("nosiam", "fr-CA", "de_AT")


@pytest.mark.parametrize(("source", "target"), [("en-US", "DE"), ("EN", "de_AT"), ("AUTO", "de-CH"), (None, "deu")])
def test_language_tags_are_matched(toy_translator: Path, toy_classifier: Path, source: str | None, target: str) -> None:
    model, _ = fake_translator(toy_translator, "en", "de", reverse_words)
    with open_translator(model, fake_detector(toy_classifier, LABELS, language_of)) as translator:
        [result] = translate(translator, "house", source=source, target=target)
        translator.check_languages(source, target)
        deltas, [streamed] = stream(translator, "house", source=source, target=target)
    assert (result.text, result.source, result.target) == ("esuoh", "en", "de")
    assert (streamed.text, streamed.source, streamed.target, deltas) == ("esuoh", "en", "de", "esuoh")


def test_without_a_detector_the_only_source_language_is_taken(toy_translator: Path) -> None:
    model, _ = fake_translator(toy_translator, "en", "de", reverse_words)
    with open_translator(model) as translator:
        [result] = translate(translator, "house", source="auto")
    assert (result.text, result.source, result.detected) == ("esuoh", "en", None)

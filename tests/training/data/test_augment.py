"""Augmentation: each change, its share of the texts, and reproducibility by the seed."""

import numpy as np
import pytest

from training.config import AugmentConfig
from training.data.augment import MAX_CONCATENATED, augment, augment_texts

SOURCES = [f"Ich sah Haus {i}, nicht wahr?" for i in range(400)]
TARGETS = [f"I saw house {i}, didn't I?" for i in range(400)]


def changed(**shares: float) -> tuple[list[str], list[str]]:
    return augment(SOURCES, TARGETS, AugmentConfig(**shares), np.random.default_rng(7))


def test_augment_without_shares_changes_nothing() -> None:
    assert changed() == (SOURCES, TARGETS)


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("lowercase", "ich sah haus 0, nicht wahr?"),
        ("uppercase", "ICH SAH HAUS 0, NICHT WAHR?"),
        ("unpunctuated", "ich sah haus 0 nicht wahr"),
    ],
)
def test_noise_changes_source_but_not_target(kind: str, first: str) -> None:
    sources, targets = changed(**{kind: 1.0})
    assert (sources[0], targets) == (first, TARGETS)


def test_misspelling_changes_one_character() -> None:
    sources, targets = changed(misspelt=1.0)
    assert targets == TARGETS
    assert {len(noisy) - len(text) for noisy, text in zip(sources, SOURCES, strict=True)} == {-1, 0, 1}
    for noisy, text in zip(sources, SOURCES, strict=True):
        added, missing = sorted(noisy), sorted(text)
        assert len(set(added) ^ set(missing)) <= 1
        assert abs(len(added) - len(missing)) <= 1


def test_noise_leaves_too_short_texts_unchanged() -> None:
    short = ["?!", "Ja!"]
    for kind in ("unpunctuated", "misspelt"):
        noisy, _ = augment(short, short, AugmentConfig(**{kind: 1.0}), np.random.default_rng(7))
        assert noisy == (["?!", "ja"] if kind == "unpunctuated" else short)


def test_each_noise_has_its_share() -> None:
    sources, _ = changed(lowercase=0.25, uppercase=0.5)
    assert sum(s.islower() for s in sources) == pytest.approx(100, abs=30)
    assert sum(s.isupper() for s in sources) == pytest.approx(200, abs=30)


def test_entity_swap_replaces_names_and_numbers_alike_on_both_sides() -> None:
    sources = ["Tom sah 17 Hunde in Boston."] * 200
    targets = ["In Boston Tom saw 17 dogs."] * 200
    config = AugmentConfig(entity_swap=0.5)
    exchanged = augment(sources, targets, config, np.random.default_rng(7))
    found = [pair for pair in zip(*exchanged, strict=True) if pair[0] != sources[0]]
    assert len(found) == pytest.approx(100, abs=30)
    for source, target in found:
        first, sah, number, dogs, preposition, city = source.rstrip(".").split()
        assert (sah, dogs, preposition) == ("sah", "Hunde", "in")
        assert target == f"In {city} {first} saw {number} dogs."
        assert number.isdecimal()
    assert len({pair[0] for pair in found}) == len(found)
    assert sum(source.split()[0].isdecimal() for source, _ in found) == pytest.approx(len(found) / 4, abs=15)


def test_entity_swap_adds_number_to_pair_without_entities() -> None:
    sources, targets = augment(
        ["das Haus"] * 50, ["the house"] * 50, AugmentConfig(entity_swap=1.0), np.random.default_rng(7)
    )
    for source, target in zip(sources, targets, strict=True):
        assert source.replace("das Haus", "") == target.replace("the house", "")
        assert any(map(str.isdecimal, source))


def test_sentence_concat_keeps_pairs_aligned_and_complete() -> None:
    sources, targets = changed(sentence_concat=0.5)
    assert max(s.count("?") for s in sources) == MAX_CONCATENATED
    assert sum(s.count("?") == 1 for s in sources) in (200, 201)  # the last group may have a single sentence
    numbers = [[[w.strip(",") for w in text.split() if w[0].isdigit()] for text in side] for side in (sources, targets)]
    assert numbers[0] == numbers[1]
    assert sorted(int(n) for group in numbers[0] for n in group) == list(range(400))


def test_word_crop_keeps_one_or_two_words_without_punctuation() -> None:
    texts = augment_texts(SOURCES, AugmentConfig(word_crop=0.5), np.random.default_rng(7))
    short = [(text, source) for text, source in zip(texts, SOURCES, strict=True) if text != source]
    assert len(short) == pytest.approx(200, abs=40)
    for text, source in short:
        assert text in source.lower().replace(",", "").replace("?", "")
        assert len(text.split()) in (1, 2)
    assert augment_texts(["中文", "?!"], AugmentConfig(word_crop=1.0), np.random.default_rng(7)) == ["中文", "?!"]


def test_add_final_punctuation_appends_one_character() -> None:
    texts = augment_texts(["book a table"] * 90, AugmentConfig(add_final_punctuation=0.5), np.random.default_rng(7))
    assert set(texts) == {"book a table", "book a table.", "book a table?", "book a table!"}
    assert texts.count("book a table") == pytest.approx(45, abs=18)


def test_augment_depends_only_on_generator() -> None:
    config = AugmentConfig(sentence_concat=0.3, lowercase=0.2, misspelt=0.3)
    one, same, other = (augment(SOURCES, TARGETS, config, np.random.default_rng([1, e])) for e in (0, 0, 1))
    assert one == same
    assert one != other

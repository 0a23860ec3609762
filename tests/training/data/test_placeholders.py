"""Placeholder tokens: tokenizing and decoding them, and the pairs that train them."""

import numpy as np
import pytest

from training.config import AugmentConfig, TokenizerConfig
from training.data.augment import augment
from training.data.placeholders import MAX_IN_A_PAIR, common_spans, insert_placeholders, placeholders
from training.data.tokenizer import Codec, extend_codec, train_codec

COUNT = 8
TEXTS = ["Open the file in the editor, then close it.", "The file is open (in the editor)."] * 3
SYMBOLS = placeholders(COUNT)
A, B, C = SYMBOLS[:3]


@pytest.fixture(scope="module", params=[True, False], ids=["joint", "separate"])
def plain(request: pytest.FixtureRequest) -> Codec:
    return train_codec(TokenizerConfig(vocabulary=300, joint=request.param), TEXTS, TEXTS, ["de"])


def test_each_placeholder_is_one_token_behind_all_others(plain: Codec) -> None:
    size = plain.target.get_vocab_size()
    codec = extend_codec(plain, COUNT)
    assert codec.joint == plain.joint
    assert codec.target.get_vocab_size() == size + COUNT + 1
    ids = [codec.target_ids([f"x{symbol}"])[0][-1] for symbol in SYMBOLS]
    assert ids == list(range(size + 1, size + 1 + COUNT))


@pytest.mark.parametrize(
    "text", [f"Open {A}.", f"{A} ({B}) is {C}-bit, see “{A}”!", A, f"a{A}b {B}{C}", f"{A}: file, {B}"]
)
def test_text_with_placeholders_is_restored(plain: Codec, text: str) -> None:
    codec = extend_codec(plain, COUNT)
    assert codec.text(codec.target_ids([text])) == [text]


def test_other_text_is_tokenized_as_before(plain: Codec) -> None:
    texts = [*TEXTS, "Ünïcödé – 你好, naïve “quotes” \ue100 \uf8ff €"]
    codec = extend_codec(plain, COUNT)
    assert codec.target_ids(texts) == plain.target_ids(texts)
    assert codec.source_ids(texts, "de") == plain.source_ids(texts, "de")
    assert codec.text(codec.target_ids(texts)) == texts


def test_trained_vocabulary_gets_placeholders() -> None:
    codec = train_codec(TokenizerConfig(vocabulary=300, placeholders=COUNT), TEXTS, TEXTS, [])
    assert codec.text(codec.target_ids([f"See {A}."])) == [f"See {A}."]
    assert len(codec.target_ids([f"{A}{B}"])[0]) == 3  # with the space in front


@pytest.mark.parametrize(
    ("source", "target", "texts"),
    [
        ("Tom lives in Boston.", "Tom lebt in Boston.", ["Tom", "Boston"]),
        ("It weighs 10 kg, not 3.", "Es wiegt 10 kg, nicht 3.", ["10", "3"]),
        ("Call a.b() on /etc/hosts.", "Rufe a.b() für /etc/hosts auf.", ["a.b()", "/etc/hosts"]),
        ("Use Visual Studio Code.", "Nutze Visual Studio Code.", ["Visual Studio Code"]),
        ("Use Visual Studio.", "Studio Visual nutzen.", ["Visual", "Studio"]),
        ("The class 東京 is new.", "Die Klasse 東京 ist neu.", ["東京"]),
        ("Tom saw Tom.", "Tom sah Tom.", []),
        ("In my hand.", "In meiner Hand.", []),
        ("the internet", "das internet", []),
        ("(see “a_b”)", "(siehe „a_b“)", ["a_b"]),
    ],
)  # fmt: skip
def test_names_numbers_and_identifiers_of_both_sides_are_found(source: str, target: str, texts: list[str]) -> None:
    found = common_spans(source, target)
    assert [source[slice(*ours)] for ours, _ in found] == texts
    assert [target[slice(*theirs)] for _, theirs in found] == texts


def test_both_sides_get_the_same_placeholders_in_ascending_order_of_the_source() -> None:
    source, target = "Tom met Ann, Bob, Eve and Zoe in 1999.", "1999 traf Tom Ann, Zoe, Bob und Eve."
    counts = set()
    for seed in range(40):
        ours, theirs = insert_placeholders([source], [target], COUNT, 1.0, np.random.default_rng(seed))
        used = [c for c in ours[0] if c in SYMBOLS]
        assert used == sorted(set(used))
        assert sorted(c for c in theirs[0] if c in SYMBOLS) == used
        counts.add(len(used))
        restored = dict(
            zip(
                used, [text for text in ("Tom", "Ann", "Bob", "Eve", "Zoe", "1999") if text not in ours[0]], strict=True
            )
        )
        for symbol, text in restored.items():
            ours[0], theirs[0] = ours[0].replace(symbol, text), theirs[0].replace(symbol, text)
        assert (ours[0], theirs[0]) == (source, target)
    assert counts == set(range(1, MAX_IN_A_PAIR + 1))


def test_pair_without_common_words_gets_one_placeholder_on_both_sides() -> None:
    sources, targets = insert_placeholders(["a dog"] * 50, ["ein Hund"] * 50, COUNT, 1.0, np.random.default_rng(1))
    for source, target in zip(sources, targets, strict=True):
        assert source.replace("a dog", "ein Hund") == target
        assert sum(source.count(symbol) for symbol in SYMBOLS) == 1
    assert len(set(sources)) > 10


def test_augmentation_inserts_placeholders_in_its_share_of_the_pairs() -> None:
    sources = [f"Ich sah Haus {i}." for i in range(400)]
    targets = [f"I saw house {i}." for i in range(400)]
    config = AugmentConfig(placeholders=0.25, lowercase=1.0)
    ours, theirs = augment(sources, targets, config, np.random.default_rng(7), COUNT)
    with_placeholder = [any(symbol in text for symbol in SYMBOLS) for text in ours]
    assert with_placeholder == [any(symbol in text for symbol in SYMBOLS) for text in theirs]
    assert sum(with_placeholder) == pytest.approx(100, abs=30)

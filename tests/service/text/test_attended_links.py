"""Words are linked by where the decoder looked."""

import numpy as np

from service.text.alignment import AlignmentLink, anchor_identical_words, links_from_attention
from service.text.words import word_spans

SOURCE, TARGET = "two red dogs.", "zwei rote Hunde."
SOURCE_SPANS = [(0, 3), (3, 7), (7, 10), (10, 12), (12, 13)]  # two, red, do-gs, .
TARGET_SPANS = [(0, 4), (4, 9), (9, 15), (15, 16)]


def looks(*rows: list[float]) -> np.ndarray:
    """Where each target token, and the end mark, looked."""
    return np.array(rows, dtype=np.float32)


def test_a_word_comes_from_where_its_tokens_looked() -> None:
    attention = looks(
        [0.9, 0.0, 0.0, 0.0, 0.1],
        [0.0, 0.2, 0.4, 0.3, 0.1],
        [0.1, 0.7, 0.0, 0.0, 0.1],
        [0.1, 0.0, 0.0, 0.1, 0.8],
        [0.2, 0.2, 0.2, 0.2, 0.2],
    )
    linked = links_from_attention(attention, SOURCE, SOURCE_SPANS, TARGET, TARGET_SPANS)
    assert linked == (
        AlignmentLink(0, 3, 0, 4),
        AlignmentLink(8, 12, 5, 9),
        AlignmentLink(4, 7, 10, 15),
        AlignmentLink(12, 13, 15, 16),
    )


def test_what_every_token_looks_at_says_nothing() -> None:
    attention = looks(
        [0.3, 0.0, 0.0, 0.0, 0.7],
        [0.0, 0.3, 0.0, 0.0, 0.7],
        [0.0, 0.0, 0.2, 0.1, 0.7],
        [0.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    )
    linked = links_from_attention(attention, SOURCE, SOURCE_SPANS, TARGET, TARGET_SPANS)
    assert [link[:2] for link in linked] == [(0, 3), (4, 7), (8, 12), (12, 13)]


def test_a_source_token_that_nobody_looked_at_is_no_division_by_zero() -> None:
    attention = looks(*[[1.0, 0.0, 0.0, 0.0, 0.0]] * 5)
    linked = links_from_attention(attention, SOURCE, SOURCE_SPANS, TARGET, TARGET_SPANS)
    assert {link[:2] for link in linked} == {(0, 3)}


def test_words_without_tokens_have_no_links() -> None:
    assert links_from_attention(looks([]), "", [], "", []) == ()
    assert links_from_attention(looks([1.0], [1.0]), "a b", [(0, 1)], "c d", [(0, 1)]) == (AlignmentLink(0, 1, 0, 1),)
    assert links_from_attention(looks([1.0]), "a", [(0, 1)], "", []) == ()


def test_a_word_that_stands_once_in_either_text_comes_from_itself() -> None:
    looked = (
        AlignmentLink(0, 3, 0, 2),
        AlignmentLink(0, 3, 3, 6),
        AlignmentLink(4, 7, 7, 8),
        AlignmentLink(0, 3, 9, 12),
    )
    assert anchor_identical_words(looked, "Tom saw 7", "er Tom , Tom") == looked
    assert anchor_identical_words(looked, "Tom saw ,", "er Tom , ist")[1:3] == (
        AlignmentLink(0, 3, 3, 6),
        AlignmentLink(4, 7, 7, 8),
    )
    assert anchor_identical_words((AlignmentLink(4, 7, 0, 3),), "Tom saw", "Tom sah") == (AlignmentLink(0, 3, 0, 3),)
    assert anchor_identical_words((), "7 a", "b 7") == (AlignmentLink(0, 1, 2, 3),)


def test_words_are_spans_and_scripts_without_spaces_have_one_a_character() -> None:
    assert ["\u6771\u4eac Rad 2x!"[a:b] for a, b in word_spans("\u6771\u4eac Rad 2x!")] == [
        "\u6771", "\u4eac", " ", "Rad", " ", "2x", "!",
    ]  # fmt: skip

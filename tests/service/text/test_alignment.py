"""Tests of service.text.alignment."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.text.alignment import (
    AlignmentLink,
    OffsetMappedText,
    anchor_identical_words,
    compose_links,
    links_from_attention,
)

SOURCE, TARGET = "two red dogs.", "zwei rote Hunde."
SOURCE_SPANS = [(0, 3), (3, 7), (7, 10), (10, 12), (12, 13)]  # two, red, do-gs, .
TARGET_SPANS = [(0, 4), (4, 9), (9, 15), (15, 16)]


def attention(*rows: list[float]) -> np.ndarray:
    """Return cross-attention (T+1, S): one row per target token, and one for EOS."""
    return np.array(rows, dtype=np.float32)


def test_spans_are_mapped_across_a_replacement() -> None:
    edited = OffsetMappedText("see {x} now", [(4, 7, "2013")])
    assert edited.text == "see 2013 now"
    assert edited.forward(0, 3) == (0, 3)
    assert edited.forward(8, 11) == (9, 12)
    assert edited.forward(5, 6) == (4, 8)
    assert edited.backward(4, 8) == (4, 7)
    assert edited.backward(6, 12) == (4, 11)


def test_a_deleted_span_is_mapped_to_an_empty_one() -> None:
    edited = OffsetMappedText("end.", [(3, 4, "")])
    assert edited.forward(3, 4) == (3, 3)
    assert edited.forward(0, 4) == (0, 3)


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4)), max_size=5))
def test_text_outside_the_edits_is_mapped_both_ways(parts: list[tuple[str, str, str]]) -> None:
    edits, old, new, unedited = [], "", "", []
    for plain, before, after in parts:
        if not plain or not before:
            continue
        unedited.append((len(old), len(new), plain))
        edits.append((len(old + plain), len(old + plain + before), after))
        old, new = old + plain + before, new + plain + after
    edited = OffsetMappedText(old, edits)
    assert edited.text == new
    for old_start, new_start, plain in unedited:
        old_span, new_span = (old_start, old_start + len(plain)), (new_start, new_start + len(plain))
        assert edited.forward(*old_span) == new_span
        assert edited.backward(*new_span) == old_span


def test_a_link_is_shifted_on_both_sides() -> None:
    assert AlignmentLink(1, 2, 3, 4).shifted(10, 20) == (11, 12, 23, 24)


def test_links_are_composed_through_a_pivot_translation() -> None:
    first = [AlignmentLink(0, 3, 4, 8), AlignmentLink(4, 9, 0, 3), AlignmentLink(4, 9, 8, 9)]
    second = [
        AlignmentLink(0, 3, 0, 2),
        AlignmentLink(3, 8, 3, 9),
        AlignmentLink(7, 20, 10, 12),
        AlignmentLink(30, 31, 12, 13),
    ]
    assert compose_links(first, second) == (
        AlignmentLink(4, 9, 0, 2),
        AlignmentLink(0, 3, 3, 9),
        AlignmentLink(0, 3, 10, 12),
    )
    assert compose_links([], second) == ()


def test_a_word_is_linked_to_the_source_word_its_tokens_attend_to() -> None:
    weights = attention(
        [0.9, 0.0, 0.0, 0.0, 0.1],
        [0.0, 0.2, 0.4, 0.3, 0.1],
        [0.1, 0.7, 0.0, 0.0, 0.1],
        [0.1, 0.0, 0.0, 0.1, 0.8],
        [0.2, 0.2, 0.2, 0.2, 0.2],
    )
    links = links_from_attention(weights, SOURCE, SOURCE_SPANS, TARGET, TARGET_SPANS)
    assert links == (
        AlignmentLink(0, 3, 0, 4),
        AlignmentLink(8, 12, 5, 9),
        AlignmentLink(4, 7, 10, 15),
        AlignmentLink(12, 13, 15, 16),
    )


def test_a_source_token_that_every_step_attends_to_attracts_no_links() -> None:
    weights = attention(
        [0.3, 0.0, 0.0, 0.0, 0.7],
        [0.0, 0.3, 0.0, 0.0, 0.7],
        [0.0, 0.0, 0.2, 0.1, 0.7],
        [0.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    )
    links = links_from_attention(weights, SOURCE, SOURCE_SPANS, TARGET, TARGET_SPANS)
    assert [link[:2] for link in links] == [(0, 3), (4, 7), (8, 12), (12, 13)]


def test_a_word_is_not_linked_to_the_comma_before_its_source_word() -> None:
    spans = [(0, 4), (4, 5), (6, 9), (10, 13)]  # late , and now
    weights = attention([0.8, 0.1, 0.1, 0.0], [0.1, 0.6, 0.3, 0.0], [0.0, 0.0, 0.1, 0.9], [0.2, 0.2, 0.2, 0.4])
    links = links_from_attention(weights, "late, and now", spans, "spät und jetzt", [(0, 4), (5, 8), (9, 14)])
    assert [link[:2] for link in links] == [(0, 4), (6, 9), (10, 13)]
    marks = links_from_attention(attention([1.0], [0.0]), "!", [(0, 1)], "he", [(0, 2)])
    assert marks == (AlignmentLink(0, 1, 0, 2),)  # there is nothing else


def test_source_tokens_without_attention_cause_no_division_by_zero() -> None:
    weights = attention(*[[1.0, 0.0, 0.0, 0.0, 0.0]] * 5)
    links = links_from_attention(weights, SOURCE, SOURCE_SPANS, TARGET, TARGET_SPANS)
    assert {link[:2] for link in links} == {(0, 3)}


def test_words_without_tokens_get_no_links() -> None:
    assert links_from_attention(attention([]), "", [], "", []) == ()
    assert links_from_attention(attention([1.0], [1.0]), "a b", [(0, 1)], "c d", [(0, 1)]) == (
        AlignmentLink(0, 1, 0, 1),
    )
    assert links_from_attention(attention([1.0]), "a", [(0, 1)], "", []) == ()


def test_a_word_that_occurs_once_in_both_texts_is_linked_to_itself() -> None:
    links = (
        AlignmentLink(0, 3, 0, 2),
        AlignmentLink(0, 3, 3, 6),
        AlignmentLink(4, 7, 7, 8),
        AlignmentLink(0, 3, 9, 12),
    )
    assert anchor_identical_words(links, "Tom saw 7", "er Tom , Tom") == links
    assert anchor_identical_words(links, "Tom saw ,", "er Tom , ist")[1:3] == (
        AlignmentLink(0, 3, 3, 6),
        AlignmentLink(4, 7, 7, 8),
    )
    assert anchor_identical_words((AlignmentLink(4, 7, 0, 3),), "Tom saw", "Tom sah") == (AlignmentLink(0, 3, 0, 3),)
    assert anchor_identical_words((), "7 a", "b 7") == (AlignmentLink(0, 1, 2, 3),)

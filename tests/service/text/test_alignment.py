"""Spans are found again on the other side of an edit."""

from hypothesis import given
from hypothesis import strategies as st

from service.text.alignment import AlignmentLink, OffsetMappedText, compose_links


def test_spans_move_with_the_text() -> None:
    rewrite = OffsetMappedText("see {x} now", [(4, 7, "2013")])
    assert rewrite.text == "see 2013 now"
    assert rewrite.forward(0, 3) == (0, 3)
    assert rewrite.forward(8, 11) == (9, 12)
    assert rewrite.forward(5, 6) == (4, 8)
    assert rewrite.backward(4, 8) == (4, 7)
    assert rewrite.backward(6, 12) == (4, 11)


def test_a_deletion_leaves_nothing() -> None:
    rewrite = OffsetMappedText("end.", [(3, 4, "")])
    assert rewrite.forward(3, 4) == (3, 3)
    assert rewrite.forward(0, 4) == (0, 3)


def test_a_link_moves_on_both_sides() -> None:
    assert AlignmentLink(1, 2, 3, 4).shifted(10, 20) == (11, 12, 23, 24)


def test_links_go_on_through_a_text_in_between() -> None:
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


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4)), max_size=5))
def test_what_was_not_edited_is_found_on_both_sides(parts: list[tuple[str, str, str]]) -> None:
    edits, old, new, kept = [], "", "", []
    for plain, before, after in parts:
        if not plain or not before:
            continue
        kept.append((len(old), len(new), plain))
        edits.append((len(old + plain), len(old + plain + before), after))
        old, new = old + plain + before, new + plain + after
    rewrite = OffsetMappedText(old, edits)
    assert rewrite.text == new
    for a, b, plain in kept:
        assert rewrite.forward(a, a + len(plain)) == (b, b + len(plain))
        assert rewrite.backward(b, b + len(plain)) == (a, a + len(plain))

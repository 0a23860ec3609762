"""Tests of service.text.markup.tag_placement."""

import re
from collections import Counter

from service.text.alignment import AlignedText, AlignmentLink
from service.text.markup.document import parse


def test_an_element_with_scattered_words_keeps_the_longest_run() -> None:
    document = parse("one <a>two three four</a> five six", "html")
    links = (
        AlignmentLink(4, 7, 0, 1),
        AlignmentLink(0, 3, 2, 3),
        AlignmentLink(19, 23, 4, 5),
        AlignmentLink(8, 13, 6, 11),
        AlignmentLink(14, 18, 12, 16),
    )
    assert document.render([AlignedText("2 1 5 three four", links)]) == "2 1 5 <a>three four</a>"


def test_a_single_foreign_word_within_an_element_is_taken_in() -> None:
    document = parse("one <a>two three</a>", "html")
    links = (AlignmentLink(4, 7, 0, 1), AlignmentLink(0, 3, 2, 3), AlignmentLink(8, 13, 4, 5))
    assert document.render([AlignedText("2 1 3", links)]) == "<a>2 1 3</a>"


def test_a_word_without_a_link_belongs_to_the_element_of_its_neighbours() -> None:
    document = parse("<p>say <b>two three</b></p>", "html")
    links = (AlignmentLink(0, 3, 0, 3), AlignmentLink(4, 7, 4, 5), AlignmentLink(8, 13, 8, 9))
    assert document.render([AlignedText("Sag 2 x 3 !", links)]) == "<p>Sag <b>2 x 3</b> !</p>"


def test_an_element_without_words_is_empty_within_its_parent() -> None:
    document = parse("one <b>two <i>three</i><img></b> four", "html")
    links = (AlignmentLink(0, 3, 0, 1), AlignmentLink(4, 7, 2, 3), AlignmentLink(18, 22, 4, 5))
    assert document.render([AlignedText("1 2 4", links)]) == "1 <b>2<i></i><img></b> 4"


def test_without_links_words_are_linked_in_proportion_to_their_positions() -> None:
    document = parse("one <b>two</b> three", "html")
    assert document.render([AlignedText("eins zwei drei")]) == "eins <b>zwei</b> drei"
    assert parse("one <b>two</b>", "html").render([AlignedText("...")]) == "<b></b>..."


def test_a_tag_after_a_full_stop_stays_after_the_punctuation() -> None:
    document = parse("<p>hello Tom.<br/>\nwe are here.</p>", "html")
    assert document.render([AlignedText("hallo Tom! wir sind hier.")]) == "<p>hallo Tom!<br/> wir sind hier.</p>"


def test_tags_are_placed_between_characters_of_scripts_without_spaces() -> None:
    document = parse("I <b>love</b> you", "html")
    links = (AlignmentLink(0, 1, 0, 1), AlignmentLink(2, 6, 1, 2), AlignmentLink(7, 10, 2, 3))
    assert document.render([AlignedText("我爱你", links)]) == "我<b>爱</b>你"


def test_each_object_is_written_once() -> None:
    document = parse("use <code>a</code> or <code>b</code> here", "html")
    assert document.block_texts == ["use \ufffc or \ufffc here"]
    links = (AlignmentLink(4, 5, 8, 9), AlignmentLink(9, 10, 0, 1))
    assert document.render([AlignedText("\ufffc  oder \ufffc", links)]) == "<code>b</code>  oder <code>a</code>"
    assert document.render([AlignedText("\ufffc \ufffc \ufffc")]) == "<code>a</code> <code>b</code> "
    assert Counter(re.findall("<.*?>", document.render([AlignedText("nichts")]))) == {"<code>": 2, "</code>": 2}

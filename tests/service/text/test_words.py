"""Tests of service.text.words."""

from service.text.words import word_spans


def test_text_without_spaces_has_one_word_per_character() -> None:
    text = "\u6771\u4eac Rad 2x!"
    assert [text[start:end] for start, end in word_spans(text)] == [
        "\u6771", "\u4eac", " ", "Rad", " ", "2x", "!",
    ]  # fmt: skip

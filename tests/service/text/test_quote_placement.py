"""Tests of service.text.quote_placement."""

import pytest

from service.text.quote_placement import place_quotes


@pytest.mark.parametrize(
    ("source", "translation", "language", "expected"),
    [
        ('"It is late," he said.', "Es ist spät, sagte er.", "de", "„Es ist spät“, sagte er."),
        ('"It is late", he said.', "Es ist „spät, sagte er.", "de", "„Es ist spät“, sagte er."),
        ('"Is it late?" he asked.', "Ist es spät? fragte er.", "de", "„Ist es spät?“ fragte er."),
        ('He said: "It is late."', "Er sagte: „Es ist spät.", "de", "Er sagte: „Es ist spät.“"),
        ('He said: "It is late".', "Er sagte: Es ist spät.", "de", "Er sagte: „Es ist spät“."),
        ('He said: "It is late."', "Il a dit : il est tard.", "fr", "Il a dit : «\u00a0il est tard.\u00a0»"),
        ("„Es ist spät“, sagte er.", "It is late, he said.", "en", '"It is late", he said.'),
        ('"It is late," he said.', "Es ist spät,« sagte er.", "de", "„Es ist spät“, sagte er."),
        ('"It is late," he said.', "« Il est tard », dit-il.", "fr", "«\u00a0Il est tard\u00a0», dit-il."),
        ('Tom, 5, says: "It is late."', "Tom, 5, sagt „Es ist spät.", "de", "Tom, 5, sagt „Es ist spät.“"),
        ('"It is 3.5 km," he said.', "Es sind 3,5 km, sagte er.", "de", "„Es sind 3,5 km“, sagte er."),
        ('\ue000: "It is late."', "\ue000: Es ist spät.", "de", "\ue000: „Es ist spät.“"),
    ],
)
def test_punctuation_says_where_quotation_marks_belong(
    source: str, translation: str, language: str, expected: str
) -> None:
    assert place_quotes(source, translation, language) == expected


@pytest.mark.parametrize(
    ("source", "translation"),
    [
        ("It is late.", "Es ist spät."),
        ('"Yes" and "no," he said.', "Ja und nein, sagte er."),  # two pairs
        ('He said "yes" twice.', "Er sagte zweimal ja."),  # no punctuation beside them
        ('He said, "It is late."', "Er sagte, es sei spät, glaube ich."),  # two commas
        ('"It is late," he said.', "Es ist spät sagte er."),
        ('"It is late, and I go," he said.', "Es ist spät, und, ja, er."),  # two commas are near
        ('"It is very late and I have to go," he said.', "Er sagte, es sei schon sehr spät und er müsse gehen."),
        ('"," he said.', ", sagte er."),
        ('He says "it is" twice.', "Er sagt zweimal „es ist."),  # one mark, and no punctuation for the other
    ],
)
def test_otherwise_they_are_left_to_the_alignment(source: str, translation: str) -> None:
    assert place_quotes(source, translation, "de") is None

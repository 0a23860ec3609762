"""Brackets and quotation marks around a whole sentence, which the model does not read.

The model reads `"I am tired."` as `I am tired.`; in German it is `„Ich bin müde.“` again. Small models translate a
sentence without such signs better, and lose the signs of a sentence that has them.
"""

from collections.abc import Sequence

from service.text.alignment import Span
from service.text.segmentation.sentences import has_letters, spans_within, trim_span

_CLOSING_OF = {"(": ")", "[": "]", "{": "}", '"': '"', "“": "”", "„": "“", "«": "»", "»": "«", "‹": "›", "‘": "’"}


def inner_span(text: str, spans: Sequence[Span]) -> Span:
    """Return a sentence without the brackets or quotation marks around the whole of it.

    A full stop after a closing bracket is outside too. The spans are those that must not change, in order.
    """
    start, end = 0, len(text)
    while end - start > 2 and text[start] in _CLOSING_OF:
        closing = _CLOSING_OF[text[start]]
        last = end - 1 - (text[end - 1] in ".!?" and text[end - 2] == closing)
        inside = text[start + 1 : last]
        is_span = spans_within(spans, start, start + 1) or any(a < end and last < b for a, b in spans[-1:])
        if text[last] != closing or is_span or text[start] in inside or closing in inside:
            break
        first, last = trim_span(text, start + 1, last)
        if not has_letters(text, first, last, spans_within(spans, first, last)):
            break
        start, end = first, last
    return start, end

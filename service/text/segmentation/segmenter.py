"""Cut a text into units that a model can translate, and what stays as it is between them.

`plan_segmentation` returns a `SegmentationPlan`. To translate it:
1. Translate the `model_input` of each unit and pass the translation to `Unit.restore`.
2. If that returns None, translate the unit's `fallback_parts` instead.
3. Put the text together with `alignment.concatenate`.

"Dear {name},\\n\\nSTOP NOW!" is the plan ["Dear {name},", "\\n\\n", "STOP NOW!"], and the model reads "Dear 2013," and
"Stop now!".
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from service.text.alignment import Span
from service.text.segmentation.casing import is_all_caps
from service.text.segmentation.message_format import find_arguments, split_argument
from service.text.segmentation.placeholders import text_outside
from service.text.segmentation.protected_spans import find_foreign_words, find_protected_spans
from service.text.segmentation.sentences import (
    find_sentences,
    has_letters,
    is_plain_sentence,
    spans_within,
    trim_span,
)
from service.text.segmentation.units import TextPart, Unit, split_at_unreplaceable_spans

SPLIT_LONG_SENTENCE = "split_long_sentence"
SPLIT_AT_PROTECTED = "split_at_protected"
OTHER_SCRIPT = "source_script"

# The look-behind comes after the first sign: most texts have no sign to begin with.
_RUN = re.compile(r"[.!?…](?<![.!?…]{2})(?:[.!?…]++|(?<=…))(?=\s)")

# Returns the number of tokens of each text.
CountTokens = Callable[[list[str]], list[int]]


@dataclass(frozen=True)
class SegmentationPlan:
    """A text as a sequence of parts: units to translate, and strings that stay as they are.

    The parts' sources, joined, are the text again.
    """

    parts: tuple[TextPart, ...]
    warnings: frozenset[str] = frozenset()

    @cached_property
    def units(self) -> list[Unit]:
        """The units to translate, in order."""
        return [part for part in self.parts if isinstance(part, Unit)]

    @property
    def model_inputs(self) -> list[str]:
        """What the model reads, one text per unit."""
        return [unit.model_input for unit in self.units]


def untranslated_plan(text: str) -> SegmentationPlan:
    """Return a plan that leaves the text as it is."""
    return SegmentationPlan((text,))


def plan_segmentation(
    text: str, source: str, target: str, count_tokens: CountTokens, max_tokens: int, placeholders: Sequence[str] = ()
) -> SegmentationPlan:
    """Cut a text into units of at most `max_tokens` tokens; a unit that cannot be cut stays longer.

    `source` and `target` are language codes; a region after a hyphen is ignored. `placeholders` are the placeholder
    tokens of the models that will translate the text.
    """
    languages, tokens = (_base_language(source), _base_language(target)), tuple(placeholders)
    protected = find_protected_spans(text, languages[0])
    if not protected and is_plain_sentence(text):
        whole = Unit(text, 0, languages, all_caps=is_all_caps(text), tokens=tokens)
        if count_tokens([whole.model_input])[0] <= max_tokens:
            return SegmentationPlan((whole,))
    parts: list[TextPart] = []
    warnings = set()
    previous_end = 0
    for sentence in find_sentences(text, languages[0], protected):
        for start, end in _split_at_runs(text, *sentence, protected):
            unit = _unit(text, start, end, languages, protected, tokens)
            unit_parts = split_at_unreplaceable_spans(unit)
            if len(unit_parts) > 1 and not find_arguments(unit.source):
                warnings.add(SPLIT_AT_PROTECTED)
            parts += [text[previous_end:start], *unit_parts]
            previous_end = end
    parts.append(text[previous_end:])
    if "{" in text:
        parts = list(chain(*(_with_messages(part, source, target, placeholders) for part in parts)))
    if not text.isascii() and any(isinstance(part, str) and find_foreign_words(part) for part in parts):
        warnings.add(OTHER_SCRIPT)
    short_parts = _split_long_units(parts, count_tokens, max_tokens)
    if len(short_parts) > len(parts):
        warnings.add(SPLIT_LONG_SENTENCE)
    return SegmentationPlan(tuple(part for part in short_parts if part), frozenset(warnings))


def _unit(
    text: str,
    start: int,
    end: int,
    languages: tuple[str, str],
    protected: Sequence[Span],
    placeholders: tuple[str, ...],
) -> Unit:
    """Return the unit of a sentence; if it has protected spans, its numbers are protected too.

    Without placeholder tokens, the placeholders look like numbers, so that the model may mix them up with the
    sentence's own.
    """
    source = text[start:end]
    spans = tuple((a - start, b - start) for a, b in spans_within(protected, start, end))
    unit = Unit(source, start, languages, spans, is_all_caps(text_outside(source, spans)), tokens=placeholders)
    return unit.with_numbers() or unit if len(spans) > len(placeholders) else unit


def _split_at_runs(text: str, start: int, end: int, protected: Sequence[Span]) -> Iterator[Span]:
    """Yield the parts of a sentence that end with a run of punctuation, such as "..." or "?!", and the rest."""
    for run in _RUN.finditer(text, start, end):
        inside = spans_within(protected, start, run.end())
        if not (inside and inside[-1][1] >= run.end()) and has_letters(text, run.end(), end):
            if has_letters(text, start, run.start()):
                yield trim_span(text, start, run.end())
            start = run.end()
    yield trim_span(text, start, end)


def _with_messages(part: TextPart, source: str, target: str, placeholders: Sequence[str]) -> Iterator[TextPart]:
    """Yield a part; of a string with arguments of ICU message format, their messages as units."""
    arguments = find_arguments(part) if isinstance(part, str) else []
    end = 0
    for argument in arguments:
        yield part[end : argument[0]]  # type: ignore[index]
        for piece, is_message in split_argument(part[slice(*argument)]):  # type: ignore[index]
            if is_message:
                yield from plan_segmentation(piece, source, target, _no_tokens, 1, placeholders).parts
            else:
                yield piece
        end = argument[1]
    yield part[end:] if isinstance(part, str) else part


def _no_tokens(texts: list[str]) -> list[int]:
    return [0] * len(texts)


def _base_language(code: str) -> str:
    return code.split("-")[0].lower()


def _split_long_units(parts: list[TextPart], count_tokens: CountTokens, max_tokens: int) -> list[TextPart]:
    """Halve every unit that is too long until its parts are short enough; each round counts all new units at once."""
    checked: list[tuple[TextPart, bool]] = [(part, isinstance(part, str)) for part in parts]  # (part, is final)
    while units := [part for part, is_final in checked if isinstance(part, Unit) and not is_final]:
        lengths = iter(count_tokens([unit.model_input for unit in units]))
        next_round: list[tuple[TextPart, bool]] = []
        for part, is_final in checked:
            if is_final or not isinstance(part, Unit):
                next_round.append((part, True))
                continue
            halves = [part] if next(lengths) <= max_tokens else part.split_in_half()
            next_round += [(half, len(halves) == 1 or isinstance(half, str)) for half in halves]
        checked = next_round
    return [part for part, _ in checked]

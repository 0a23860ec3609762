"""Cut a text into units that a model can translate, and what stays as it is between them.

`plan_segmentation` returns a `SegmentationPlan`. To translate it:
1. Translate the `model_input` of each unit and pass the translation to `Unit.restore`.
2. If that returns None, translate the unit's `fallback_parts` instead.
3. Put the text together with `alignment.concatenate`.

"Dear {name},\\n\\nSTOP NOW!" is the plan ["Dear {name},", "\\n\\n", "STOP NOW!"], and the model reads "Dear 2013," and
"Stop now!".
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from service.text.segmentation.casing import is_all_caps
from service.text.segmentation.placeholders import find_protected_spans, text_outside
from service.text.segmentation.sentences import find_sentences, spans_within
from service.text.segmentation.units import TextPart, Unit, split_at_unreplaceable_spans

SPLIT_LONG_SENTENCE = "split_long_sentence"
SPLIT_AT_PROTECTED = "split_at_protected"

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
    text: str, source: str, target: str, count_tokens: CountTokens, max_tokens: int
) -> SegmentationPlan:
    """Cut a text into units of at most `max_tokens` tokens; a unit that cannot be cut stays longer.

    `source` and `target` are language codes; a region after a hyphen is ignored.
    """
    languages = _base_language(source), _base_language(target)
    protected = find_protected_spans(text)
    parts: list[TextPart] = []
    warnings = set()
    previous_end = 0
    for start, end in find_sentences(text, languages[0], protected):
        spans = tuple((a - start, b - start) for a, b in spans_within(protected, start, end))
        unit = Unit(text[start:end], start, languages, spans, is_all_caps(text_outside(text[start:end], spans)))
        unit_parts = split_at_unreplaceable_spans(unit)
        if len(unit_parts) > 1:
            warnings.add(SPLIT_AT_PROTECTED)
        parts += [text[previous_end:start], *unit_parts]
        previous_end = end
    parts.append(text[previous_end:])
    short_parts = _split_long_units(parts, count_tokens, max_tokens)
    if len(short_parts) > len(parts):
        warnings.add(SPLIT_LONG_SENTENCE)
    return SegmentationPlan(tuple(part for part in short_parts if part), frozenset(warnings))


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

"""Plans and translations for the tests of segmentation."""

from collections.abc import Callable, Iterator, Sequence

from service.text.alignment import AlignedText, concatenate
from service.text.segmentation.segmenter import SegmentationPlan, plan_segmentation
from service.text.segmentation.units import TextPart

Translate = Callable[[str], AlignedText]


def count_words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def plan(text: str, source: str = "en", target: str = "de", limit: int = 40) -> SegmentationPlan:
    """Return a plan whose limit counts words."""
    return plan_segmentation(text, source, target, count_words, limit)


def translate_plan(planned: SegmentationPlan, translate: Translate) -> AlignedText:
    """Translate a plan as the service does: the parts of a unit replace it when it cannot be restored."""

    def parts(planned_parts: Sequence[TextPart], retries: int) -> Iterator[tuple[str, AlignedText]]:
        for part in planned_parts:
            if isinstance(part, str):
                yield part, AlignedText.identity(part)
            elif (restored := part.restore(translate(part.model_input))) is not None:
                yield part.source, restored
            else:
                assert retries, "a unit cannot be restored after two rounds of fallback parts"
                yield from parts(part.fallback_parts(), retries - 1)

    return concatenate(list(parts(planned.parts, 2)))


def rebuild(planned: SegmentationPlan, *translations: AlignedText) -> AlignedText:
    """Return the text of a plan, given the translations of its units, which must be restorable."""
    remaining = iter(translations)
    return translate_plan(planned, lambda _: next(remaining))

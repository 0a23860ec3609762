"""What a model is asked on behalf of a segment, and how; nothing here waits."""

from dataclasses import dataclass, replace

from service.engine.decoding.options import DecodingOptions
from service.engine.types import Hypothesis
from service.models.options import TranslationOptions
from service.text.segmentation.units import Unit
from service.translation.segment import RouteStep, Segment


@dataclass(frozen=True)
class CallOutcome:
    """What a model made of a text, best first, and what looks wrong with the best."""

    texts: list[str]
    hypotheses: list[Hypothesis]
    find_issues: list[str]


@dataclass(frozen=True, eq=False)
class ModelCall:
    """A text for a model, on behalf of a segment; `earlier` is the attempt that it is to do better than."""

    segment: Segment
    text: str
    stage: int = 0  # of the segment's route
    earlier: CallOutcome | None = None
    between: tuple[str, ...] = ()  # what was said in the languages on the way
    binding: Unit | None = None  # the segment's unit with the glossary's terms held
    listening: bool = False

    @property
    def route_step(self) -> RouteStep:
        return self.segment.route[self.stage]

    @property
    def last(self) -> bool:
        return self.stage == len(self.segment.route) - 1


def safer(options: DecodingOptions) -> DecodingOptions:
    """The options of a second try: they leave loops."""
    return replace(
        options,
        no_repeat_ngram=options.no_repeat_ngram or 3,
        repetition_penalty=max(options.repetition_penalty, 1.2),
        min_length=max(options.min_length, 1),
    )


def between(options: TranslationOptions) -> TranslationOptions:
    """What is wanted of a translation that another one is made of: the search, but nothing that the caller reads."""
    asked = options.options
    return TranslationOptions(
        DecodingOptions(
            beam_size=asked.beam_size,
            length_penalty=asked.length_penalty,
            early_stopping=asked.early_stopping,
            no_repeat_ngram=asked.no_repeat_ngram,
            repetition_penalty=asked.repetition_penalty,
        ),
        guarded=options.guarded,
    )

"""What a dialect asks of the translator, and what it gets, in the caller's terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from service.models.options import TranslationOptions
from service.text.alignment import AlignmentLink
from service.text.tokenizer import MAX_INLINE_CHARACTERS

Format = Literal["text", "html", "xml"]
AUTO = "auto"


@dataclass(frozen=True)
class TranslationRequest:
    """Texts to translate to one language, all with the same options."""

    texts: list[str]
    target: str
    source: str | None = None  # None or "auto": to be found out
    model: str | None = None
    options: TranslationOptions = TranslationOptions()
    format: Format = "text"
    splitting: frozenset[str] = frozenset()  # elements that end a block, besides those that do by nature
    ignored: frozenset[str] = frozenset()  # elements whose contents stay
    glossary: Mapping[str, str] = field(default_factory=dict)  # source term -> target term
    include: frozenset[str] = frozenset()  # of "score", "tokens", "alignment"

    @property
    def long(self) -> bool:
        """Whether to cut it takes longer than to hand it over to another thread."""
        return sum(map(len, self.texts)) > MAX_INLINE_CHARACTERS


@dataclass(frozen=True)
class Detection:
    """A language that a text may be in, and how probable that is."""

    language: str
    confidence: float


@dataclass(frozen=True)
class Piece:
    """A token of an answer, as the vocabulary spells it."""

    id: int
    text: str
    log_probability: float


@dataclass
class TranslationCandidate:
    """One translation of a text."""

    text: str
    finish_reason: str = "stop"  # "length" or "loop" if one of its sentences ended at the limit of tokens, or as a loop
    score: float | None = None  # the sum of its sentences' scores, where they have any
    tokens: list[Piece] | None = None
    alignment: list[AlignmentLink] | None = None  # of words; what was not translated has none


@dataclass
class TranslationResult(TranslationCandidate):
    """The best translation of a text, the next best ones, and what is to be said about it."""

    source: str = ""
    target: str = ""
    detected: Detection | None = None
    alternatives: list[TranslationCandidate] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Delta:
    """What comes next of a text's translation; put together, a text's deltas are the translation."""

    index: int  # of the text
    text: str


@dataclass(frozen=True)
class TextFinished:
    """A text is translated."""

    index: int
    result: TranslationResult


@dataclass
class TranslationResponse:
    """A job's drafts, as many as its texts and in order, and what they took."""

    model: str
    results: list[TranslationResult]
    source_tokens: int
    target_tokens: int
    queue_ms: float  # the longest wait of a sentence
    compute_ms: float  # the longest computation of a sentence


StreamEvent = Delta | TextFinished | TranslationResponse  # of a stream; the last one is the whole

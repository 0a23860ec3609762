"""A translation request and its response, in the caller's terms: texts and languages, no token ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from service.models.options import TranslationOptions
from service.text.alignment import AlignmentLink
from service.text.markup.document import Document
from service.text.tokenizer import MAX_INLINE_CHARACTERS

Format = Literal["text", "html", "xml", "markdown"]
AUTO = "auto"
MAX_TERMS = 200  # of a glossary, in one request


@dataclass(frozen=True)
class TranslationRequest:
    """Texts to translate into one language, all with the same options."""

    texts: list[str]
    target: str
    source: str | None = None  # None or "auto": detect it
    model: str | None = None
    options: TranslationOptions = TranslationOptions()
    format: Format = "text"
    splitting: frozenset[str] = frozenset()  # elements that end a block, besides the block elements of the format
    ignored: frozenset[str] = frozenset()  # elements whose content is not translated
    glossary: Mapping[str, str] = field(default_factory=dict)  # source term -> target term
    include: frozenset[str] = frozenset()  # of "score", "tokens", "alignment"
    # The texts, parsed by the caller; None for a plain one. Empty: they are parsed according to `format`.
    parsed: Sequence[Document | None] = ()
    window: int | None = None  # segments that may be in the engine at once; None: all

    @property
    def long(self) -> bool:
        """Whether work on the texts takes longer than passing them to another thread."""
        return self.options.decoding.n_best * sum(map(len, self.texts)) > MAX_INLINE_CHARACTERS


@dataclass(frozen=True)
class Detection:
    """A language that a text may be in, with its probability."""

    language: str
    confidence: float


@dataclass(frozen=True)
class OutputToken:
    """A token of a translation, as the vocabulary spells it."""

    id: int
    text: str
    log_probability: float


@dataclass
class TranslationResult:
    """One translation of a text; the best one also holds the alternatives, the detection and the warnings."""

    text: str
    source: str
    target: str
    finish_reason: str = "stop"  # "length" or "loop" if a segment reached the token limit or began to loop
    score: float | None = None  # the sum of the segments' scores, if they have any
    tokens: list[OutputToken] | None = None
    alignment: list[AlignmentLink] | None = None  # between words; text that was not translated has no links
    detected: Detection | None = None
    alternatives: "list[TranslationResult]" = field(default_factory=list)  # best first
    warnings: list[str] = field(default_factory=list)


@dataclass
class TranslationResponse:
    """The results of all texts of a request, in order, and what they took."""

    model: str
    results: list[TranslationResult]
    source_tokens: int
    target_tokens: int
    queue_ms: float  # the longest wait of a segment
    compute_ms: float  # the longest computation of a segment


@dataclass(frozen=True)
class Delta:
    """The next part of a text's translation; all deltas of a text joined are its translation."""

    index: int  # of the text
    text: str


@dataclass(frozen=True)
class TextFinished:
    """The result of a text whose deltas have all been sent."""

    index: int
    result: TranslationResult


StreamEvent = Delta | TextFinished | TranslationResponse  # of a stream; the last event is the whole response

"""A text to translate, with its language and its route, and how it is cut."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from service.models.engine_client import EngineClient
from service.text.markup.document import Document
from service.text.segmentation.placeholders import find_protected_spans
from service.text.segmentation.segmenter import SegmentationPlan, plan_segmentation, untranslated_plan
from service.translation.document import DocumentTranslation, SegmentedDocument
from service.translation.request import Detection, TranslationRequest
from service.translation.segment import RouteStep

Route = Sequence[RouteStep]
# Where a long text may be cut in two before it is cut into sentences: at a line's end among so many characters.
FIRST, LAST = 40, 1000


@dataclass(frozen=True)
class SourceLanguage:
    """The language that a text is taken to be in, None for the only one that there is, and how that was found out."""

    language: str | None
    detected: Detection | None = None
    warnings: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class SourceText:
    """A text, its document if it is markup, where it comes from and by which models it goes; by none if it stays."""

    text: str
    document: Document | None
    source_language: SourceLanguage
    route: Route

    def document_translation(self, request: TranslationRequest) -> DocumentTranslation:
        """The text cut into segments that the models can read."""
        if not self.route:
            return self._marked(
                DocumentTranslation(
                    SegmentedDocument([untranslated_plan(self.text)]), self.route, (request.target, request.target)
                )
            )
        texts = [self.text] if self.document is None else self.document.block_texts
        return self._passage(SegmentedDocument([self._plan(text) for text in texts], self.document), request)

    def opening(self, request: TranslationRequest) -> tuple[DocumentTranslation, int] | None:
        """A passage of the first lines of a plain text, and where the rest begins; none if there is no good place."""
        if not self.route or self.document is not None:
            return None
        kept = find_protected_spans(self.text[: 2 * LAST])
        at = self.text.find("\n", FIRST, LAST) + 1
        if not at or any(start < at < end for start, end in kept):
            return None
        return self._passage(SegmentedDocument([self._plan(self.text[:at])]), request), at

    def rest(self, at: int) -> SegmentationPlan:
        """What the opening's passage is to be extended with."""
        return self._plan(self.text[at:])

    def _plan(self, text: str) -> SegmentationPlan:
        first, target = self.route[0], self.route[-1].direction.target
        limit = first.model.manifest.limits.source_length
        return plan_segmentation(text, first.direction.source, target, first.lengths, limit)

    def _passage(self, cut: SegmentedDocument, request: TranslationRequest) -> DocumentTranslation:
        languages = self.route[0].direction.source, self.route[-1].direction.target
        document_translation = self._marked(DocumentTranslation(cut, self.route, languages))
        document_translation.want(request.options.prefix, request.include)
        return document_translation

    def _marked(self, document_translation: DocumentTranslation) -> DocumentTranslation:
        document_translation.detected = self.source_language.detected
        document_translation.warnings |= self.source_language.warnings
        return document_translation


def cut(
    sources: Iterable[SourceText], request: TranslationRequest, before: Sequence[DocumentTranslation] = ()
) -> list[DocumentTranslation]:
    """All sources cut into segments, behind the passages that there are.

    Raises:
        TooLarge: they are more than a model's queue takes, and the rest is not even cut.
    """
    document_translations = list(before)
    segments = Counter[EngineClient]()
    for document_translation in document_translations:
        _count(document_translation, segments)
    for source in sources:
        document_translations.append(source.document_translation(request))
        _count(document_translations[-1], segments)
    return document_translations


def _count(document_translation: DocumentTranslation, segments: Counter[EngineClient]) -> None:
    if document_translation.route:
        engine_client = document_translation.route[0].model.engine_client
        segments[engine_client] += len(document_translation.segments)
        engine_client.check_limits(segments[engine_client])

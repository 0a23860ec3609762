"""A text to translate, with its language and its route, and how it is cut."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from service.models.engine_client import Desk
from service.text.markup.document import Document
from service.text.segmentation.placeholders import protected
from service.text.segmentation.segmenter import Plan, plan_text, untouched
from service.translation.document import Cut, Passage
from service.translation.request import Detection, Job
from service.translation.segment import Leg

Route = Sequence[Leg]
# Where a long text may be cut in two before it is cut into sentences: at a line's end among so many characters.
FIRST, LAST = 40, 1000


@dataclass(frozen=True)
class Origin:
    """The language that a text is taken to be in, None for the only one that there is, and how that was found out."""

    language: str | None
    detected: Detection | None = None
    warnings: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Source:
    """A text, its document if it is markup, where it comes from and by which models it goes; by none if it stays."""

    text: str
    document: Document | None
    origin: Origin
    route: Route

    def passage(self, job: Job) -> Passage:
        """The text cut into segments that the models can read."""
        if not self.route:
            return self._marked(Passage(Cut([untouched(self.text)]), self.route, (job.target, job.target)))
        texts = [self.text] if self.document is None else self.document.blocks
        return self._passage(Cut([self._plan(text) for text in texts], self.document), job)

    def opening(self, job: Job) -> tuple[Passage, int] | None:
        """A passage of the first lines of a plain text, and where the rest begins; none if there is no good place."""
        if not self.route or self.document is not None:
            return None
        kept = protected(self.text[: 2 * LAST])
        at = self.text.find("\n", FIRST, LAST) + 1
        if not at or any(start < at < end for start, end in kept):
            return None
        return self._passage(Cut([self._plan(self.text[:at])]), job), at

    def rest(self, at: int) -> Plan:
        """What the opening's passage is to be extended with."""
        return self._plan(self.text[at:])

    def _plan(self, text: str) -> Plan:
        first, target = self.route[0], self.route[-1].direction.target
        limit = first.model.manifest.limits.source_length
        return plan_text(text, first.direction.source, target, first.lengths, limit)

    def _passage(self, cut: Cut, job: Job) -> Passage:
        languages = self.route[0].direction.source, self.route[-1].direction.target
        passage = self._marked(Passage(cut, self.route, languages))
        passage.want(job.wanted.prefix, job.include)
        return passage

    def _marked(self, passage: Passage) -> Passage:
        passage.detected = self.origin.detected
        passage.warnings |= self.origin.warnings
        return passage


def cut(sources: Iterable[Source], job: Job, before: Sequence[Passage] = ()) -> list[Passage]:
    """All sources cut into segments, behind the passages that there are.

    Raises:
        TooLarge: they are more than a model's queue takes, and the rest is not even cut.
    """
    passages = list(before)
    segments = Counter[Desk]()
    for passage in passages:
        _count(passage, segments)
    for source in sources:
        passages.append(source.passage(job))
        _count(passages[-1], segments)
    return passages


def _count(passage: Passage, segments: Counter[Desk]) -> None:
    if passage.route:
        desk = passage.route[0].model.desk
        segments[desk] += len(passage.segments)
        desk.allow(segments[desk])

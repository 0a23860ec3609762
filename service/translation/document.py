"""One text of a request: cut into segments, and put together again from their translations."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise

from service.engine.types import Hypothesis
from service.models.engine_client import EngineClient
from service.models.registry import Route
from service.models.request_scope import Check
from service.text.alignment import AlignedText, concatenate
from service.text.markup.document import Document
from service.text.markup.tag_placement import proportional_links
from service.text.segmentation.protected_spans import find_protected_spans
from service.text.segmentation.segmenter import plan_segmentation
from service.text.segmentation.units import word_core
from service.translation.request import Detection, OutputToken, TranslationRequest, TranslationResult
from service.translation.segment import Part, RestoredHypothesis, Segment

# The opening of a long text ends at the first line break between these character positions.
OPENING_START, OPENING_END = 40, 1000


def _no_check() -> None: ...


class DocumentTranslation:
    """A text, plain or with markup, from its segmentation to its translation.

    `segment` cuts it into segments; once all of them are done, `result` joins their translations. A text with an empty
    route is in the target language already and stays as it is.
    """

    def __init__(
        self,
        text: str,
        markup: Document | None,
        route: Route,
        request: TranslationRequest,
        detected: Detection | None = None,
    ) -> None:
        self.route, self.detected = route, detected
        self.segments: list[Segment] = []  # in order
        self.segmented = False
        self.warnings: set[str] = set()
        self._text, self._request = text, request
        self._markup = markup if route else None
        self._source = route[0].direction.source if route else request.target
        self._target = route[-1].direction.target if route else request.target
        # Segments and the text between them: of each block of the markup, or one row for plain text.
        self._rows: list[list[Part]] = []
        self._opening_length = 0
        first, *later = [step.model.manifest.placeholder_tokens for step in route] or [[]]
        self._placeholders = [one for one in first if all(one in other for other in later)] if later else list(first)
        self._repaired: set[int] = set()  # blocks whose elements have been looked at
        self._repairs: list[Segment] = []

    @property
    def has_markup(self) -> bool:
        """Whether the text has markup, or marks as of Markdown."""
        return self._markup is not None

    def segment(self, check: Check = _no_check) -> None:
        """Cut what has not been cut yet into segments that the models can read; `check` may raise to stop this."""
        if self.segmented:
            return
        if not self.route:
            self._rows = [[self._text]]
        elif self._markup is not None:
            self._rows = [self._segmented(block, check, k) for k, block in enumerate(self._markup.block_texts)]
        elif self._opening_length:
            self._rows[0] += self._segmented(self._text[self._opening_length :], check)
        else:
            self._rows = [self._segmented(self._text, check)]
        self.segmented = True

    def segment_opening(self) -> bool:
        """Cut only the first lines of a long plain text; False if there is no suitable line break."""
        if not self.route or self._markup is not None:
            return False
        end = self._text.find("\n", OPENING_START, OPENING_END) + 1
        if not end or any(a < end < b for a, b in find_protected_spans(self._text[: 2 * OPENING_END], self._source)):
            return False
        self._rows, self._opening_length = [self._segmented(self._text[:end], _no_check)], end
        return True

    def _segmented(self, text: str, check: Check, block: int = 0) -> list[Part]:
        """Cut a text; each unit is encoded here, where its length is checked, and not again."""
        first = self.route[0]
        ids_of: dict[str, list[int]] = {}

        def lengths(texts: list[str]) -> list[int]:
            check()
            encoded = first.model.encode(texts, first.direction)
            ids_of.update(zip(texts, encoded, strict=True))
            return list(map(len, encoded))

        limit = first.model.manifest.limits.source_length
        plan = plan_segmentation(text, self._source, self._target, lengths, limit, self._placeholders)
        self.warnings |= plan.warnings
        align = "alignment" in self._request.include or (
            self._markup is not None and self._markup.has_inline_tags[block]
        )
        row: list[Part] = []
        for piece in plan.parts:
            if isinstance(piece, str):
                row.append(piece)
                continue
            segment = Segment(piece, self.route, ids_of[piece.model_input], align=align)
            if not self.segments:
                segment.prefix = self._request.options.prefix
            self.segments.append(segment)
            row.append(segment)
        return row

    def streamed(self) -> Iterator[str | None]:
        """Yield the best translation part by part, in order; None whenever the next part is not ready yet."""
        if self._markup is None:
            [row], at = self._rows, 0
            while at < len(row) or not self.segmented:
                if at < len(row):
                    yield from _streamed(row[at])
                    at += 1
                else:
                    yield None
            return
        for k, row in enumerate(self._rows):
            for part in row:
                while not _done([part]):
                    yield None
            self._repair(k)
            row = self._rows[k]
            while not _done(row):
                yield None
            parts = list(_final_parts(row))
            best = [part if isinstance(part, str) else part.hypotheses[0] for part in parts]
            yield self._markup.render_block(k, self._joined(parts, best))
        yield self._markup.end

    def repair(self, check: Check = _no_check) -> list[Segment]:
        """Return segments to translate again, because an element that has text would come back empty.

        All segments must be done. The elements are translated on their own then, and so is the text around them.
        """
        for k in range(len(self._rows)):
            check()
            self._repair(k)
        return self.take_repairs()

    def take_repairs(self) -> list[Segment]:
        """Return the segments to translate again that have not been returned yet."""
        repairs, self._repairs = self._repairs, []
        return repairs

    def _repair(self, k: int) -> None:
        """Cut a block at the elements that would be empty, and leave its parts to be translated."""
        if self._markup is None or k in self._repaired or not self._markup.has_inline_tags[k]:
            return
        self._repaired.add(k)
        parts = list(_final_parts(self._rows[k]))
        best = [part if isinstance(part, str) else part.hypotheses[0] for part in parts]
        empty = self._markup.empty_elements(k, self._joined(parts, best))
        if not empty:
            return
        text, known = self._markup.block_texts[k], len(self.segments)
        borders = sorted({0, len(text), *(border for span in empty for border in span)})
        self._rows[k] = []
        for start, end in pairwise(borders):
            first, last = word_core(text, start, end)
            inner = self._segmented(text[first:last], _no_check, k)
            self._rows[k] += [part for part in (text[start:first], *inner, text[last:end]) if part]
        self._repairs += self.segments[known:]

    def result(self, check: Check = _no_check) -> TranslationResult:
        """Return the translation; all segments must be done. `check` may raise to stop the work."""
        rows = [list(_final_parts(row)) for row in self._rows]
        segments = [part for part in chain(*rows) if isinstance(part, Segment)]
        choices = best_choices([[one.hypothesis.score or 0.0 for one in segment.hypotheses] for segment in segments])
        best, *best.alternatives = [self._candidate(rows, choice, check) for choice in choices]
        best.detected = self.detected
        best.warnings = sorted(self.warnings.union(*(segment.all_warnings() for segment in self.segments)))
        return best

    def _candidate(self, rows: list[list[Part]], choice: tuple[int, ...], check: Check) -> TranslationResult:
        """Return the translation with the chosen hypothesis of each segment."""
        check()
        indices = iter(choice)
        chosen = [[part if isinstance(part, str) else part.hypotheses[next(indices)] for part in row] for row in rows]
        translations = [self._joined(*row) for row in zip(rows, chosen, strict=True)]
        hypotheses = [one.hypothesis for one in chain(*chosen) if isinstance(one, RestoredHypothesis)]
        text = translations[0].text if self._markup is None else self._markup.render(translations)
        result = TranslationResult(text, self._source, self._target)
        reasons = {hypothesis.finish_reason for hypothesis in hypotheses}
        result.finish_reason = next((reason for reason in ("length", "loop") if reason in reasons), "stop")
        include = self._request.include
        scores = [hypothesis.score for hypothesis in hypotheses if hypothesis.score is not None]
        if "score" in include and scores:
            result.score = sum(scores)
        if "tokens" in include:
            result.tokens = [token for hypothesis in hypotheses for token in self._tokens(hypothesis)]
        if "alignment" in include:
            result.alignment = [link for link in translations[0].links if link.source_end > link.source_start]
        return result

    def _joined(self, row: list[Part], chosen: Sequence[str | RestoredHypothesis]) -> AlignedText:
        translations = []
        for part, one in zip(row, chosen, strict=True):
            if isinstance(part, str) or isinstance(one, str):
                # Only tag placement needs to know where unchanged text went.
                kept = AlignedText(str(part)) if self._markup is None else AlignedText.identity(str(part))
                translations.append((str(part), kept))
                continue
            translation, source = one.translation, part.unit.source
            if self._markup is not None and not one.aligned:
                guessed = proportional_links(source, translation.text)
                translation = AlignedText(translation.text, (*translation.links, *guessed))
            translations.append((source, translation))
        return concatenate(translations)

    def _tokens(self, hypothesis: Hypothesis) -> list[OutputToken]:
        model, direction = self.route[-1].model, self.route[-1].direction
        spell, first = model.codec.token_text, len(direction.target_prefix)
        # The end-of-sentence token has a log-probability too, but no id here.
        pairs = list(zip(hypothesis.ids, hypothesis.log_probabilities, strict=False))
        return [OutputToken(token, spell(token), log_prob) for token, log_prob in pairs[first:]]


def segment_all(documents: Sequence[DocumentTranslation], check: Check, bounded: bool = True) -> list[Segment]:
    """Segment documents and return their segments, at most as many as a model's queue can hold if `bounded`.

    Raises:
        DeadlineExceeded, ClientGone: `check` raised.
        TooLarge: there are more; the remaining documents are not segmented.
    """
    counts = Counter[EngineClient]()
    for document in documents:
        document.segment(check)
        if document.route and bounded:
            engine_client = document.route[0].model.engine_client
            counts[engine_client] += len(document.segments)
            engine_client.check_limits(counts[engine_client])
    return [segment for document in documents for segment in document.segments]


def _final_parts(row: Sequence[Part]) -> Iterator[Part]:
    """Yield the parts of a row, a replaced segment's own parts in its place."""
    for part in row:
        if isinstance(part, str) or part.parts is None:
            yield part
        else:
            yield from _final_parts(part.parts)


def _done(row: Sequence[Part]) -> bool:
    return all(isinstance(part, str) or (part.done and _done(part.parts or ())) for part in row)


def _streamed(part: Part) -> Iterator[str | None]:
    if isinstance(part, str):
        yield part
        return
    sent = ""
    while not part.done:
        more = part.stable_prefix[len(sent) :]
        sent += more
        yield more or None
    if part.parts is None:
        yield part.hypotheses[0].translation.text[len(sent) :]
    for inner in part.parts or ():
        yield from _streamed(inner)


def best_choices(scores: list[list[float]]) -> list[tuple[int, ...]]:
    """Return which hypothesis to take of each segment, for the best, second best, ... translation of the text.

    `scores` holds one row per segment: its hypotheses' scores, best hypothesis first. A hypothesis that was cut at the
    token limit may have a greater score than those before it; it counts as no better than they are. There are as many
    choices as the largest number of hypotheses. The first takes the best of each segment; each further one has the
    greatest sum of scores that is left.
    """
    if all(len(row) == 1 for row in scores):
        return [(0,) * len(scores)]
    count = max(map(len, scores), default=1)
    totals = [0.0]
    back_pointers: list[list[tuple[int, int]]] = []  # per segment and choice: the choice that it extends, and with what
    for row in scores:
        bounded = list(accumulate(row, min))
        # Both lists descend, so that (i + 1) * (k + 1) sums are at least as great as that of i and k.
        longer = [
            (total + bounded[k], i, k)
            for i, total in enumerate(totals)
            for k in range(min(len(bounded), count // (i + 1)))
        ]
        longer = sorted(longer, key=lambda one: -one[0])[:count]
        totals = [total for total, _, _ in longer]
        back_pointers.append([(i, k) for _, i, k in longer])
    choices = []
    for i in range(len(totals)):
        taken = []
        for pointers in reversed(back_pointers):
            i, k = pointers[i]
            taken.append(k)
        choices.append(tuple(reversed(taken)))
    return choices

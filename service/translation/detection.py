"""Detection of the language that a text is in."""

from collections.abc import Collection, Sequence
from functools import lru_cache

from service.engine.types import EngineRequest
from service.models.request_scope import Check, RequestScope
from service.models.served_model import ServedModel
from service.text.languages import match_language
from service.text.segmentation.placeholders import text_outside
from service.text.segmentation.protected_spans import find_protected_spans
from service.text.tokenizer import MAX_INLINE_CHARACTERS
from service.translation.request import Detection

MIN_REPORTED_CONFIDENCE = 0.01  # less probable languages are left out of a list
MIN_SURE_CONFIDENCE = 0.1  # below, the text may well be in a language that no model translates
# How many times more probable the target language must be than any source language for the text to stay as it is.
ALREADY_TARGET_FACTOR = 10
SAMPLE_LENGTH = 400  # characters of a text that are classified
SAMPLE_WINDOW = 4 * SAMPLE_LENGTH  # characters searched at once for words; an address cut at its end does no harm
SOURCE_UNSURE = "source_unsure"
DEFAULT_LANGUAGE = "en"  # reported, if it is served, for a text that could be in any language


class Detector:
    """A classifier whose labels are languages."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    @property
    def languages(self) -> list[str]:
        """The languages that it can detect."""
        return self._model.manifest.labels

    def can_detect(self, languages: Collection[str]) -> bool:
        """Return whether it can detect one of the languages at least."""
        return any(_names(tuple(self.languages), frozenset(languages)))

    async def detect(self, texts: list[str], languages: Collection[str], scope: RequestScope) -> list[list[Detection]]:
        """Return which of the languages each text may be in, the most probable first.

        The confidence is 0 for a text without a letter. See `RequestScope` for the errors.
        """
        is_long = sum(map(len, texts)) > MAX_INLINE_CHARACTERS
        encoded = await scope.run(lambda: [self._encode(text, scope.check) for text in texts], in_thread=is_long)
        requests = [EngineRequest(ids) for ids in encoded if ids]
        results = iter(await scope.results(self._model.engine_client, requests) if requests else ())
        unknown = [0.0] * len(self.languages)
        rows = [next(results).probabilities if ids else unknown for ids in encoded]
        names = _names(tuple(self.languages), frozenset(languages))
        return await scope.run(lambda: [_ranked(names, row) for row in rows], in_thread=is_long)

    def _encode(self, text: str, check: Check) -> list[int]:
        """Encode a sample of the text that fits the model; empty if it has no letter."""
        check()
        part, manifest = sample(text), self._model.manifest
        if not any(map(str.isalpha, part)):
            return []
        limit = manifest.limits.source_length
        while True:
            [ids] = self._model.codec.encode([part], [manifest.special_tokens.bos], manifest.append_eos)
            if len(ids) <= limit or len(part) == 1:
                return ids[:limit]
            part = part[: len(part) // 2]


@lru_cache(maxsize=64)
def _names(labels: tuple[str, ...], languages: frozenset[str]) -> tuple[str | None, ...]:
    """Return for each label of a detector the language that it stands for."""
    return tuple(match_language(label, languages) for label in labels)


def _ranked(names: Sequence[str | None], probabilities: Sequence[float]) -> list[Detection]:
    """Return each language once, with its most probable label."""
    best: dict[str, float] = {}
    for name, probability in zip(names, probabilities, strict=True):
        if name is not None:
            best[name] = max(probability, best.get(name, 0.0))
    return sorted((Detection(*item) for item in best.items()), key=lambda detection: -detection.confidence)


def choose_source(ranked: Sequence[Detection], sources: Collection[str], target: str) -> Detection:
    """Return the most probable language of `sources`, at least one of which is in `ranked`.

    Return the target language instead if it is far more probable: then the text needs no translation.
    """
    best = next(one for one in ranked if one.language in sources)
    already = next((one for one in ranked if one.language == target), best)
    return already if already.confidence > ALREADY_TARGET_FACTOR * best.confidence else best


def sample(text: str) -> str:
    """Return the beginning of a text without addresses and code, or as it is if there is nothing else."""
    words, length = list[str](), 0
    for start in range(0, len(text), SAMPLE_WINDOW):
        window = text[start : start + SAMPLE_WINDOW]
        words += text_outside(window, find_protected_spans(window)).split()
        length = sum(map(len, words)) + len(words)
        if length > SAMPLE_LENGTH:
            break
    return " ".join(words)[:SAMPLE_LENGTH] or text.strip()[:SAMPLE_LENGTH]

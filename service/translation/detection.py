"""Detection of the language that a text is in."""

from service.engine.types import EngineRequest
from service.models.request_scope import Check, RequestScope
from service.models.served_model import ServedModel
from service.text.segmentation.placeholders import find_protected_spans, text_outside
from service.text.tokenizer import MAX_INLINE_CHARACTERS
from service.translation.request import Detection

MIN_REPORTED_CONFIDENCE = 0.01  # less probable languages are left out of a list
MIN_SURE_CONFIDENCE = 0.1  # below, the text may well be in a language that no model translates
# How many times more probable the target language must be than any source language for the text to stay as it is.
ALREADY_TARGET_FACTOR = 10
SAMPLE_LENGTH = 400  # characters of a text that are classified
SAMPLE_WINDOW = 4 * SAMPLE_LENGTH  # characters searched at once for words; an address cut at its end does no harm
SOURCE_UNSURE = "source_unsure"


class Detector:
    """A classifier whose labels are languages."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    @property
    def languages(self) -> list[str]:
        """The languages that it can detect."""
        return self._model.manifest.labels

    async def detect(self, texts: list[str], scope: RequestScope) -> list[list[Detection]]:
        """Return all languages for each text, the most probable first; see `RequestScope` for the errors."""
        is_long = sum(map(len, texts)) > MAX_INLINE_CHARACTERS
        encoded = await scope.run(lambda: [self._encode(text, scope.check) for text in texts], in_thread=is_long)
        requests = list(map(EngineRequest, encoded))
        results = await scope.results(self._model.engine_client, requests)
        return await scope.run(lambda: [self._ranked(result.probabilities) for result in results], in_thread=is_long)

    def _encode(self, text: str, check: Check) -> list[int]:
        """Encode a sample of the text that fits the model."""
        check()
        part, manifest = sample(text), self._model.manifest
        limit = manifest.limits.source_length
        while True:
            [ids] = self._model.codec.encode([part], [manifest.special_tokens.bos], manifest.append_eos)
            if len(ids) <= limit or len(part) == 1:
                return ids[:limit]
            part = part[: len(part) // 2]

    def _ranked(self, probabilities: list[float]) -> list[Detection]:
        detections = [Detection(label, p) for label, p in zip(self.languages, probabilities, strict=True)]
        return sorted(detections, key=lambda detection: -detection.confidence)


def choose_source(ranked: list[Detection], sources: set[str], target: str) -> Detection:
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

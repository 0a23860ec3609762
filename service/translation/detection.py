"""What language a text is in, and which model is to read it for that."""

from service.engine.types import EngineRequest
from service.models.request_scope import RequestScope
from service.models.served_model import ServedModel
from service.text.segmentation.placeholders import find_protected_spans, text_outside
from service.translation.request import Detection

LEAST = 0.01  # what is less probable is not told
UNSURE = 0.1  # what is less probable is a guess: the text may be in a language that nobody translates
FAR = 10


class Detector:
    """A classifier whose labels are languages."""

    def __init__(self, model: ServedModel) -> None:
        self.model = model

    @property
    def languages(self) -> list[str]:
        """Those that it knows."""
        return self.model.manifest.labels

    async def detect(self, texts: list[str], scope: RequestScope) -> list[list[Detection]]:
        """For each text the languages that it may be in, the most probable first; see `RequestScope` for the errors."""
        engine_requests = [EngineRequest(self._sample(text)) for text in texts]
        answers = await scope.results(self.model.engine_client, engine_requests)
        return [self._ranked(answer.probabilities) for answer in answers]

    def _sample(self, text: str) -> list[int]:
        """So much of a text as the model reads."""
        part, manifest = sample(text), self.model.manifest
        while True:
            [ids] = self.model.codec.encode([part], [manifest.special_tokens.bos], append_eos=False)
            if len(ids) <= manifest.limits.source_length or len(part) == 1:
                return ids[: manifest.limits.source_length]
            part = part[: len(part) // 2]

    def _ranked(self, probabilities: list[float]) -> list[Detection]:
        found = [Detection(label, p) for label, p in zip(self.model.manifest.labels, probabilities, strict=True)]
        return sorted(found, key=lambda one: -one.confidence)


def chosen(ranked: list[Detection], sources: set[str], target: str) -> Detection:
    """The language to translate from: the most probable of `sources`, of which `ranked` has one or more.

    It is the target itself where that is far more probable: then nothing is left to translate.
    """
    best = next(one for one in ranked if one.language in sources)
    already = next((one for one in ranked if one.language == target), best)
    return already if already.confidence > FAR * best.confidence else best


ENOUGH = 400  # characters


WINDOW = 4 * ENOUGH  # in which they are looked for at a time; an address that is cut by its end is no harm


def sample(text: str) -> str:
    """The beginning of a text, without addresses and code; the text itself if that is all there is."""
    words, length = list[str](), 0
    for start in range(0, len(text), WINDOW):
        window = text[start : start + WINDOW]
        words += text_outside(window, find_protected_spans(window)).split()
        length = sum(map(len, words)) + len(words)
        if length > ENOUGH:
            break
    return " ".join(words)[:ENOUGH] or text.strip()[:ENOUGH]

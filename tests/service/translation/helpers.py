"""Translators over engines whose answers a test knows: real registries, queues, requests and texts."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from service.artifact import Direction
from service.engine.decoding.options import DecodingOptions
from service.engine.types import EngineRequest, EngineResult, FinishedRequest, Hypothesis
from service.metrics import Metrics
from service.models.registry import Registry
from service.models.request_scope import RequestScope
from service.models.served_model import ServedModel
from service.settings import Settings
from service.text.tokenizer import TextCodec, TokenizedText
from service.translation.request import (
    Delta,
    Detection,
    TextFinished,
    TranslationRequest,
    TranslationResponse,
    TranslationResult,
)
from service.translation.translator import Translator
from tests.service.conftest import fake_model
from tests.service.fakes import PATIENCE

Say = Callable[[str, DecodingOptions], str]


class Speaker:
    """An engine that reads a request's text and says what a function makes of it, a line for each hypothesis.

    `heard` is all that it read.
    """

    pool_bytes = 0

    def __init__(self, say: Say, codec: TextCodec, tag: int = 1) -> None:
        self.say, self.codec, self.tag = say, codec, tag
        self.engine_requests: list[EngineRequest] = []
        self.heard: list[str] = []

    def join(self, group: list[EngineRequest]) -> None:
        self.engine_requests += group

    def step(self) -> list[FinishedRequest]:
        finished: list[FinishedRequest] = [
            (engine_request, self.answer(engine_request)) for engine_request in self.engine_requests
        ]
        self.engine_requests = []
        return finished

    def answer(self, engine_request: EngineRequest) -> EngineResult:
        text = self.codec.decode([engine_request.ids[self.tag : -1]])[0]
        self.heard.append(text)
        lines = self.say(text, engine_request.options).split("\n")
        return EngineResult([Hypothesis(self.codec.target_ids(line)) for line in lines])

    def drop(self, engine_requests: list[EngineRequest]) -> None:
        self.engine_requests = [
            engine_request for engine_request in self.engine_requests if engine_request not in engine_requests
        ]

    def clear(self) -> None:
        self.engine_requests = []


class Mirror(Speaker):
    """Scores translations whose words are in the opposite order: it looks at the first to write the last."""

    def answer(self, engine_request: EngineRequest) -> EngineResult:
        written = engine_request.translation or []
        texts = self.codec.decode([engine_request.ids[self.tag : -1], written])
        source, target = ([text[:end].count(" ") for _, end in side.spans] for text, side in self._located(*texts))
        looks = np.full((len(written) + 1, len(engine_request.ids)), 1e-3)
        for row, word in enumerate(target):
            looks[row, self.tag : -1] += [float(word == source[-1] - other) for other in source]
        hypothesis = Hypothesis(list(written), score=-1.0, log_probabilities=[-1.0] * len(looks))
        return EngineResult([hypothesis], attention=looks / looks.sum(axis=1, keepdims=True))

    def _located(self, source: str, target: str) -> list[tuple[str, TokenizedText]]:
        [sides] = self.codec.tokenise_pairs([source], [target])
        return list(zip((source, target), sides, strict=True))


class Labeller(Speaker):
    """Says how probable each label is."""

    def __init__(self, codec: TextCodec, probabilities: Callable[[str], list[float]]) -> None:
        super().__init__(capitals, codec)
        self.probabilities = probabilities

    def answer(self, engine_request: EngineRequest) -> EngineResult:
        return EngineResult.classification(self.probabilities(self.codec.decode([engine_request.ids[1:]])[0]))


def speaking(artifact: Path, name: str, pair: tuple[str, str], say: Say) -> tuple[ServedModel, Speaker]:
    """A model of one direction, with the artifact's tokeniser and limits."""
    settings = Settings()
    speaker = Speaker(say, None)  # type: ignore[arg-type]
    mirror = Mirror(say, None)  # type: ignore[arg-type]
    model = fake_model(artifact, speaker, settings, Metrics(), mirror)
    speaker.codec = mirror.codec = model.codec
    directions = [Direction(source=pair[0], target=pair[1], prefix=[4])]
    model.manifest = model.manifest.model_copy(update={"name": name, "directions": directions})
    return model, speaker


def labelling(artifact: Path, labels: list[str], probabilities: Callable[[str], list[float]]) -> ServedModel:
    """A classifier named langid."""
    labeller = Labeller(None, probabilities)  # type: ignore[arg-type]
    model = fake_model(artifact, labeller, Settings(), Metrics())
    labeller.codec = model.codec
    model.manifest = model.manifest.model_copy(update={"name": "langid", "labels": labels})
    return model


@contextmanager
def translator(*models: ServedModel, **settings: Any) -> Iterator[Translator]:
    """Over these models, which stop with it."""
    registry = Registry(list(models))
    try:
        yield Translator(registry, Settings(**settings))
    finally:
        registry.drain(PATIENCE)


@contextmanager
def open_scope() -> Iterator[RequestScope]:
    """A request whose client never closes the connection."""

    async def never() -> None:
        await asyncio.Event().wait()

    with RequestScope(PATIENCE, never) as scope:
        yield scope


def translate(core: Translator, *texts: str, **request: Any) -> list[TranslationResult]:
    return translated(core, *texts, **request).results


def streamed(core: Translator, *texts: str, **request: Any) -> tuple[str, list[TranslationResult]]:
    """The deltas, put together, and the drafts."""

    async def listen() -> tuple[str, list[TranslationResult]]:
        deltas, results = "", list[TranslationResult]()
        with open_scope() as scope:
            async for event in core.stream(TranslationRequest(list(texts), **({"target": "de"} | request)), scope):
                if isinstance(event, Delta):
                    deltas += event.text
                elif isinstance(event, TextFinished):
                    results.append(event.result)
        return deltas, results

    return asyncio.run(listen())


def translated(core: Translator, *texts: str, **request: Any) -> TranslationResponse:
    async def work() -> TranslationResponse:
        with open_scope() as scope:
            return await core.translate(TranslationRequest(list(texts), **({"target": "de"} | request)), scope)

    return asyncio.run(work())


def detect(core: Translator, *texts: str) -> list[list[Detection]]:
    async def work() -> list[list[Detection]]:
        with open_scope() as scope:
            return await core.detect(list(texts), scope)

    return asyncio.run(work())


def capitals(text: str, options: DecodingOptions | None = None) -> str:
    return text.upper()


def backwards(text: str, options: DecodingOptions | None = None) -> str:
    """Every word of two letters or more from its end to its beginning; numbers stay."""
    return re.sub(r"[^\W\d_]{2,}", lambda word: word[0][::-1], text)

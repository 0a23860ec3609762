"""Translators over fake engines with known answers; registries, queues, requests and tokenisers are real."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from service.artifact import Direction
from service.engine.occupancy import QueueFull
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest, EngineResult, FinishedRequest, Hypothesis
from service.metrics import Metrics
from service.models.registry import Registry
from service.models.request_scope import RequestScope
from service.models.served_model import ServedModel
from service.settings import Settings
from service.text.tokenizer import TextCodec
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
from tests.service.fakes import TIMEOUT

TAG_TOKENS = 1  # before the ids of a source: the tag of the direction, as of the toy translator
TAG = 4

# Returns the translation of a source text, one line per hypothesis.
Respond = Callable[[str, DecodingOptions], str]


class FunctionEngine:
    """Answers each request with a function of its text; `sources` holds all texts that it was given."""

    pool_bytes = 0
    codec: TextCodec  # set when the model has loaded it

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.requests: list[EngineRequest] = []
        self.sources: list[str] = []

    def divide(self, requests: list[EngineRequest]) -> list[list[EngineRequest]]:
        return [requests] if requests else []

    def join(self, group: list[EngineRequest]) -> None:
        self.requests += group

    def step(self) -> list[FinishedRequest]:
        finished: list[FinishedRequest] = [(request, self.answer(request)) for request in self.requests]
        self.requests = []
        return finished

    def answer(self, request: EngineRequest) -> EngineResult:
        [text] = self.codec.decode([request.ids[TAG_TOKENS:-1]])
        self.sources.append(text)
        lines = self.respond(text, request.options).split("\n")
        return EngineResult([Hypothesis(self.codec.target_ids(line)) for line in lines])

    def drop(self, requests: list[EngineRequest]) -> None:
        self.requests = [request for request in self.requests if request not in requests]

    def clear(self) -> None:
        self.requests = []


class ReversedAttentionEngine(FunctionEngine):
    """Scores translations whose words are in reverse order: the last target word attends to the first source word."""

    def answer(self, request: EngineRequest) -> EngineResult:
        translation = request.translation or []
        texts = self.codec.decode([request.ids[TAG_TOKENS:-1], translation])
        [pair] = self.codec.tokenise_pairs(*([text] for text in texts))
        # For each token the index of its word.
        source, target = (
            [text[:end].count(" ") for _, end in side.spans] for text, side in zip(texts, pair, strict=True)
        )
        attention = np.full((len(translation) + 1, len(request.ids)), 1e-3)  # (T+1, S)
        for row, word in enumerate(target):
            attention[row, TAG_TOKENS:-1] += [float(word == source[-1] - other) for other in source]
        hypothesis = Hypothesis(list(translation), score=-1.0, log_probabilities=[-1.0] * len(attention))
        return EngineResult([hypothesis], attention=attention / attention.sum(axis=1, keepdims=True))


class ClassProbabilityEngine(FunctionEngine):
    """Classifies each text with a function that returns a probability per label."""

    def __init__(self, probabilities: Callable[[str], list[float]]) -> None:
        super().__init__(upper_case)
        self.probabilities = probabilities

    def answer(self, request: EngineRequest) -> EngineResult:
        [text] = self.codec.decode([request.ids[1:]])
        return EngineResult.classification(self.probabilities(text))


def fake_translator(artifact: Path, source: str, target: str, respond: Respond) -> tuple[ServedModel, FunctionEngine]:
    """Return a model of one direction, with the artifact's tokeniser and limits, and its engine."""
    engine, scoring_engine = FunctionEngine(respond), ReversedAttentionEngine(respond)
    model = fake_model(artifact, engine, Settings(), Metrics(), scoring_engine)
    engine.codec = scoring_engine.codec = model.codec
    directions = [Direction(source=source, target=target, prefix=[TAG])]
    model.manifest = model.manifest.model_copy(update={"name": f"{source}-{target}", "directions": directions})
    return model, engine


def english_german(artifact: Path, respond: Respond) -> tuple[ServedModel, FunctionEngine]:
    """Return a model from English to German and its engine."""
    return fake_translator(artifact, "en", "de", respond)


def fake_detector(artifact: Path, labels: list[str], probabilities: Callable[[str], list[float]]) -> ServedModel:
    """Return a classifier named langid, the default language detector."""
    engine = ClassProbabilityEngine(probabilities)
    model = fake_model(artifact, engine, Settings(), Metrics())
    engine.codec = model.codec
    model.manifest = model.manifest.model_copy(update={"name": "langid", "labels": labels})
    return model


class FullAfterFirstSubmission:
    """Replaces the `submit` of a model's queue; raises QueueFull from the second call on."""

    def __init__(self, model: ServedModel) -> None:
        self.submit, self.calls = model.worker_pool.queue.submit, 0
        model.worker_pool.queue.submit = self  # type: ignore[method-assign, assignment]

    def __call__(self, requests: list[EngineRequest]) -> None:
        self.calls += 1
        if self.calls > 1:
            raise QueueFull(99, 99)
        self.submit(requests)


@contextmanager
def open_translator(*models: ServedModel, **settings: Any) -> Iterator[Translator]:
    """Yield a translator over these models; they are drained at the end."""
    registry = Registry(list(models))
    try:
        yield Translator(registry, Settings(**settings))
    finally:
        registry.drain(TIMEOUT)


@contextmanager
def open_scope() -> Iterator[RequestScope]:
    """Yield the scope of a request whose client never closes the connection."""

    async def never() -> None:
        await asyncio.Event().wait()

    with RequestScope(TIMEOUT, never) as scope:
        yield scope


def to_german(texts: tuple[str, ...], request: dict[str, Any]) -> TranslationRequest:
    return TranslationRequest(list(texts), **({"target": "de"} | request))


def respond_to(translator: Translator, *texts: str, **request: Any) -> TranslationResponse:
    """Return the response to a request, by default into German."""

    async def work() -> TranslationResponse:
        with open_scope() as scope:
            return await translator.translate(to_german(texts, request), scope)

    return asyncio.run(work())


def translate(translator: Translator, *texts: str, **request: Any) -> list[TranslationResult]:
    """Return the results for the texts, by default into German."""
    return respond_to(translator, *texts, **request).results


def stream(translator: Translator, *texts: str, **request: Any) -> tuple[str, list[TranslationResult]]:
    """Return the joined deltas of a streamed request, and its results."""

    async def work() -> tuple[str, list[TranslationResult]]:
        deltas, results = "", list[TranslationResult]()
        with open_scope() as scope:
            async for event in translator.stream(to_german(texts, request), scope):
                if isinstance(event, Delta):
                    deltas += event.text
                elif isinstance(event, TextFinished):
                    results.append(event.result)
        return deltas, results

    return asyncio.run(work())


def detect(translator: Translator, *texts: str) -> list[list[Detection]]:
    """Return the detected languages of the texts."""

    async def work() -> list[list[Detection]]:
        with open_scope() as scope:
            return await translator.detect(list(texts), scope)

    return asyncio.run(work())


def upper_case(text: str, options: DecodingOptions | None = None) -> str:
    return text.upper()


def reverse_words(text: str, options: DecodingOptions | None = None) -> str:
    """Reverse the letters of each word that has two or more; numbers stay as they are."""
    return re.sub(r"[^\W\d_]{2,}", lambda word: word[0][::-1], text)

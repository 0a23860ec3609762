"""What all dialects share: checks of texts, the disconnect of the client, ranked labels, the errors of a route."""

import heapq
import math
import re
from collections.abc import Awaitable, Callable

from fastapi import Request
from pydantic import BaseModel

from service.artifact import DECIDED
from service.errors import (
    DeadlineExceeded,
    EmptyText,
    FaultyModel,
    InternalError,
    InvalidRequest,
    ModelRequired,
    NotReady,
    NotSupported,
    Overloaded,
    TooLarge,
    UnknownModel,
)
from service.http.auth import AUTH_ERRORS
from service.http.body_limit import BODY_ERRORS
from service.http.priority import is_bulk
from service.models.request_scope import RequestScope, WaitForDisconnect
from service.models.served_model import ServedModel, Truncation
from service.settings import Settings

MIDDLEWARE_ERRORS = (*AUTH_ERRORS, *BODY_ERRORS)  # of every route that is not public
MODEL_ERRORS = (
    *MIDDLEWARE_ERRORS, ModelRequired, UnknownModel, TooLarge, InvalidRequest, InternalError, Overloaded, NotReady,
    FaultyModel, DeadlineExceeded,
)  # fmt: skip
LEAST_PROBABILITY = 2.0**-149  # the smallest positive number of 32 bits
SURROGATE = re.compile("[\ud800-\udfff]")


class LabelScore(BaseModel):
    """A label and its probability."""

    label: str
    score: float


def checked_texts(
    text: str | list[str],
    settings: Settings,
    name: str = "text",
    allow_blank: bool = False,
    truncate: Truncation = None,
) -> list[str]:
    """Return the texts of a request as a list. `allow_blank` allows texts of white space only.

    With `truncate`, texts are cut at that side to the characters that a text may have; the model then cuts them to its
    tokens.

    Raises:
        InvalidRequest: the list is empty, or a text is not valid Unicode.
        EmptyText: a text is blank and `allow_blank` is false.
        TooLarge: there are too many texts, or one of them is too long.
    """
    texts = [text] if isinstance(text, str) else text
    if truncate is not None:
        limit = settings.max_text_characters
        texts = [one[-limit:] if truncate == "left" else one[:limit] for one in texts]
    if not texts:
        raise InvalidRequest(f"{name} is an empty list; give at least one text")
    if len(texts) > settings.max_texts:
        raise TooLarge(
            f"{len(texts)} texts in one request; at most {settings.max_texts} are accepted: send several requests"
        )
    for i, one in enumerate(texts):
        if SURROGATE.search(one):
            raise InvalidRequest(
                f"{name} {i} contains an unpaired surrogate, which is not a character; send valid Unicode"
            )
        if not (allow_blank or one.strip()):
            raise EmptyText(f"{name} {i} is empty; leave it out")
        if len(one) > settings.max_text_characters:
            raise TooLarge(
                f"{name} {i} has {len(one)} characters; at most {settings.max_text_characters} are accepted: split it"
            )
    return texts


def refuse(message: str) -> Callable[[], Awaitable[None]]:
    """Return a route that answers that the service does not have a function of its dialect."""

    async def refused() -> None:
        raise NotSupported(message)

    return refused


def check_pairs(one: str | list[str], other: str | list[str], name: str, other_name: str) -> None:
    """Check that two fields are two strings or two lists of the same length.

    Raises:
        InvalidRequest: they are not.
    """
    if isinstance(one, str) != isinstance(other, str) or (isinstance(one, list) and len(one) != len(other)):
        raise InvalidRequest(
            f"{name} is {_describe(one)} and {other_name} {_describe(other)}: give two strings, or two lists of the "
            "same length"
        )


def _describe(texts: str | list[str]) -> str:
    return "a string" if isinstance(texts, str) else f"a list of {len(texts)}"


def wait_for_disconnect(request: Request) -> WaitForDisconnect:
    """Return a coroutine function that waits until the client closes the connection."""

    async def disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return disconnect


def request_scope(request: Request, settings: Settings) -> RequestScope:
    """Return the scope of a request, which ends at the request timeout or when the client closes the connection."""
    scope = request.scope
    transmission = scope.get("transmission")
    return RequestScope(
        settings.request_timeout_seconds,
        wait_for_disconnect(request),
        scope["caller"],
        is_bulk(scope["headers"]),
        transmission and transmission.on_client_gone,
    )


def ranked_labels(model: ServedModel, probabilities: list[float], count: int | None = None) -> list[LabelScore]:
    """Return the `count` most probable labels, or all, the best first; ties keep the model's order."""
    order = heapq.nlargest(count or len(probabilities), range(len(probabilities)), key=probabilities.__getitem__)
    return [LabelScore(label=model.manifest.labels[i], score=probabilities[i]) for i in order]


def decided_labels(model: ServedModel, probabilities: list[float]) -> list[LabelScore]:
    """Return the labels that a text has, of a model whose texts can have several or none, the most probable first."""
    count = sum(one >= DECIDED for one in probabilities)
    return ranked_labels(model, probabilities, count) if count else []


def ranked_label_dicts(
    model: ServedModel, probabilities: list[float], raw_scores: bool = False
) -> list[dict[str, str | float]]:
    """Return all labels as the dialects of classifiers write them, the most probable first.

    Raw scores are the model's logits: the logarithms of the probabilities, up to a constant that softmax ignores; of
    labels that each have a probability of their own, the logarithms of the odds.
    """
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__, reverse=True)
    scores = probabilities
    if raw_scores:
        scores = [_logarithm(one) for one in probabilities]
        if model.manifest.multi_label:
            scores = [score - _logarithm(1 - one) for score, one in zip(scores, probabilities, strict=True)]
    return [{"label": model.manifest.labels[i], "score": scores[i]} for i in order]


def _logarithm(probability: float) -> float:
    return math.log(max(probability, LEAST_PROBABILITY))

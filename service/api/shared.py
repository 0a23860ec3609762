"""What every dialect does alike: texts checked, callers watched, labels ranked, replies written."""

import heapq
import re
import time
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel

from service.api.native.responses import Label, Labels, Timings
from service.errors import (
    DeadlineExceeded,
    EmptyText,
    InternalError,
    InvalidRequest,
    ModelRequired,
    NotReady,
    Overloaded,
    TooLarge,
    UnknownModel,
)
from service.http.body_limit import REFUSALS
from service.models.request_scope import RequestScope, WaitForDisconnect
from service.models.served_model import ServedModel
from service.settings import Settings

FAULTS = (
    *REFUSALS, ModelRequired, UnknownModel, TooLarge, InvalidRequest, InternalError, Overloaded, NotReady,
    DeadlineExceeded,
)  # fmt: skip
SURROGATE = re.compile("[\ud800-\udfff]")


def checked_texts(text: str | list[str], settings: Settings, name: str = "text", blank: bool = False) -> list[str]:
    """The texts of a request as a list, in which there may be blank ones where that is allowed.

    Raises:
        InvalidRequest: the list is empty, or a text is not Unicode.
        EmptyText: a text has nothing but white space, where that is not allowed.
        TooLarge: too many texts, or one of them too long.
    """
    texts = [text] if isinstance(text, str) else text
    if not texts:
        raise InvalidRequest(f"{name} is an empty list; give at least one text")
    if len(texts) > settings.max_texts:
        raise TooLarge(
            f"{len(texts)} texts in one request; at most {settings.max_texts} are taken: send several requests"
        )
    for i, one in enumerate(texts):
        if SURROGATE.search(one):
            raise InvalidRequest(
                f"{name} {i} has half of a surrogate pair in it, which is no character; send valid Unicode"
            )
        if not (blank or one.strip()):
            raise EmptyText(f"{name} {i} is empty; leave it out")
        if len(one) > settings.max_text_characters:
            raise TooLarge(
                f"{name} {i} has {len(one)} characters; at most {settings.max_text_characters} are taken: split it"
            )
    return texts


def wait_for_disconnect(request: Request) -> WaitForDisconnect:
    """Resolves when the caller closes the connection."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return left


def request_scope(request: Request, settings: Settings) -> RequestScope:
    """The scope of a request: it ends at the request timeout, or when the client closes the connection."""
    return RequestScope(settings.request_timeout_seconds, wait_for_disconnect(request))


def best_labels(model: ServedModel, probabilities: list[float], count: int) -> Labels:
    """The most probable labels, first the best; equal ones in the model's order."""
    order = heapq.nlargest(count, range(len(probabilities)), key=probabilities.__getitem__)
    return Labels(labels=[Label(label=model.manifest.labels[i], score=probabilities[i]) for i in order])


def all_labels(model: ServedModel, probabilities: list[float]) -> list[dict[str, Any]]:
    """Every label with its score, first the best, as the dialects of classifiers write them."""
    return [one.model_dump() for one in best_labels(model, probabilities, len(probabilities)).labels]


def timings(queue_ms: float, compute_ms: float, started: float) -> Timings:
    total = 1000 * (time.monotonic() - started)
    return Timings(queue=round(queue_ms, 3), compute=round(compute_ms, 3), total=round(total, 3))


def written_once(reply: BaseModel) -> Response:
    """A reply as JSON; what FastAPI returns from a model is validated again and written in three passes."""
    return Response(reply.model_dump_json(exclude_none=True), media_type="application/json")

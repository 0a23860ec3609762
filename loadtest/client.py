"""Before the load: is the service ready, which model answers, and what does each text give alone.

Standard library only and one request at a time; the load itself is in `users.py`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from loadtest.checks import Answer, AnswerError, Reply, excerpt, field, parse, read_results, read_translations, refusal

PROBE_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 60.0  # longer than a service should let anyone wait
_opener = build_opener(ProxyHandler({}))  # like the load's own client: straight to the URL


class NotReadyError(Exception):
    """The service cannot be reached, is not ready, or has no model for the task."""


@dataclass(frozen=True)
class Endpoint:
    """One of the two questions: where it goes, what goes along with the text, how its answer is read."""

    path: str
    options: dict[str, str]
    read: Callable[[bytes, int], Reply]

    def body(self, text: str | list[str]) -> dict[str, Any]:
        return {"text": text, **self.options}


@dataclass(frozen=True)
class Bench:
    """What the users of one endpoint need: the texts and the answer that each got alone."""

    endpoint: Endpoint
    texts: tuple[str, ...]
    book: tuple[Answer, ...]


@dataclass(frozen=True)
class Server:
    """The service under load, and the API key where it needs one."""

    url: str
    key: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What every request of a caller carries."""
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}

    def ask(self, path: str, body: dict[str, Any] | None = None, timeout: float = PROBE_TIMEOUT_S) -> tuple[int, bytes]:
        """Status and body; an error status is an answer, no answer is a NotReadyError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"} | self.headers
        try:
            with _opener.open(Request(self.url + path, data=data, headers=headers), timeout=timeout) as response:
                return response.status, response.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()
        except (URLError, OSError) as error:
            raise NotReadyError(f"cannot reach {self.url}{path}: {getattr(error, 'reason', error)}") from error


def served_models(server: Server) -> list[dict[str, Any]]:
    """`GET /v1/models` of a service whose `/readyz` says 200."""
    status, body = server.ask("/readyz")
    if status != 200:
        raise NotReadyError(f"{server.url} is not ready: /readyz answered {refusal(status, body)}")
    status, body = server.ask("/v1/models")
    if status != 200:
        raise NotReadyError(f"{server.url}/v1/models answered {refusal(status, body)}")
    try:
        return [model for model in field(parse(body), "models", list) if isinstance(model, dict)]
    except AnswerError as error:
        raise NotReadyError(f"{server.url}/v1/models: {error}") from error


def translate_endpoint(models: Sequence[dict[str, Any]], source: str, target: str) -> Endpoint:
    """The first model of this direction, named in every request so that nothing is left to a default."""
    directions = [(model, one) for model in models for one in model.get("directions") or ()]
    for model, one in directions:
        if (one.get("source"), one.get("target")) == (source, target):
            options = {"model": str(model.get("name")), "source": source, "target": target}
            return Endpoint("/v1/translate", options, read_translations)
    served = ", ".join(sorted({f"{one.get('source')}-{one.get('target')}" for _, one in directions})) or "none"
    raise NotReadyError(f"no model translates {source}-{target} (directions served: {served})")


def classify_endpoint(models: Sequence[dict[str, Any]]) -> Endpoint:
    for model in models:
        if model.get("labels"):
            return Endpoint("/v1/classify", {"model": str(model.get("name"))}, read_results)
    raise NotReadyError("no model classifies")


def answers_alone(server: Server, endpoint: Endpoint, texts: Sequence[str]) -> Bench:
    """The book: each text asked once, the next when the answer has come. This warms the service up, too."""
    book: list[Answer] = []
    for index, text in enumerate(texts):
        try:
            status, body = server.ask(endpoint.path, endpoint.body(text), ANSWER_TIMEOUT_S)
            if status != 200:
                raise AnswerError(refusal(status, body))
            book.extend(endpoint.read(body, 1).answers)
        except (AnswerError, NotReadyError) as error:
            raise AnswerError(f"{endpoint.path}: text {index} alone ({excerpt(text)}): {error}") from error
    return Bench(endpoint, tuple(texts), tuple(book))

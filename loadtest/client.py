"""Requests before the load: readiness, the model of each task, and the expected answer of each text.

Uses the standard library only and sends one request at a time; `users.py` makes the load.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from loadtest.checks import (
    AnswerError,
    AnswerItem,
    ParsedResponse,
    describe_failure,
    excerpt,
    field,
    parse,
    read_results,
    read_translations,
)

PROBE_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 60.0  # longer than the service's own deadline
_opener = build_opener(ProxyHandler({}))  # no proxy, like the client in users.py


class NotReadyError(Exception):
    """The service cannot be reached, is not ready, or has no model for the task."""


@dataclass(frozen=True)
class Endpoint:
    """One of the two endpoints: its path, the fields beside the text, and the reader of its response."""

    path: str
    options: dict[str, str]
    read: Callable[[bytes, int], ParsedResponse]

    def body(self, text: str | list[str]) -> dict[str, Any]:
        return {"text": text, **self.options}


@dataclass(frozen=True)
class Workload:
    """The texts that the users of one endpoint send, and the expected answer for each."""

    endpoint: Endpoint
    texts: tuple[str, ...]
    expected: tuple[AnswerItem, ...]


@dataclass(frozen=True)
class Server:
    """The service under test, and the API key if it needs one."""

    url: str
    key: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}

    def request(
        self, path: str, body: dict[str, Any] | None = None, timeout: float = PROBE_TIMEOUT_S
    ) -> tuple[int, bytes]:
        """Send a request and return status and body, whatever the status.

        Raises:
            NotReadyError: no response came.
        """
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
    """Return the models in `GET /v1/models`.

    Raises:
        NotReadyError: `/readyz` or `/v1/models` does not answer 200.
    """
    status, body = server.request("/readyz")
    if status != 200:
        raise NotReadyError(f"{server.url} is not ready: /readyz answered {describe_failure(status, body)}")
    status, body = server.request("/v1/models")
    if status != 200:
        raise NotReadyError(f"{server.url}/v1/models answered {describe_failure(status, body)}")
    try:
        return [model for model in field(parse(body), "models", list) if isinstance(model, dict)]
    except AnswerError as error:
        raise NotReadyError(f"{server.url}/v1/models: {error}") from error


def translate_endpoint(models: Sequence[dict[str, Any]], source: str, target: str) -> Endpoint:
    """Return the endpoint of the first model with this direction; every request names the model.

    Raises:
        NotReadyError: no model has this direction.
    """
    directions = [(model, pair) for model in models for pair in model.get("directions") or ()]
    for model, pair in directions:
        if (pair.get("source"), pair.get("target")) == (source, target):
            options = {"model": str(model.get("name")), "source": source, "target": target}
            return Endpoint("/v1/translate", options, read_translations)
    served = ", ".join(sorted({f"{pair.get('source')}-{pair.get('target')}" for _, pair in directions})) or "none"
    raise NotReadyError(f"no model translates {source}-{target} (directions served: {served})")


def classify_endpoint(models: Sequence[dict[str, Any]]) -> Endpoint:
    """Return the endpoint of the first model with labels.

    Raises:
        NotReadyError: there is none.
    """
    for model in models:
        if model.get("labels"):
            return Endpoint("/v1/classify", {"model": str(model.get("name"))}, read_results)
    raise NotReadyError("no model classifies")


def record_expected_answers(server: Server, endpoint: Endpoint, texts: Sequence[str]) -> Workload:
    """Send each text alone, one after the other, and record its answer as the expected one. Also warms the service up.

    Raises:
        AnswerError: a response is missing or wrong.
    """
    expected: list[AnswerItem] = []
    for index, text in enumerate(texts):
        try:
            status, body = server.request(endpoint.path, endpoint.body(text), ANSWER_TIMEOUT_S)
            if status != 200:
                raise AnswerError(describe_failure(status, body))
            expected.extend(endpoint.read(body, 1).answers)
        except (AnswerError, NotReadyError) as error:
            raise AnswerError(f"{endpoint.path}: text {index} alone ({excerpt(text)}): {error}") from error
    return Workload(endpoint, tuple(texts), tuple(expected))

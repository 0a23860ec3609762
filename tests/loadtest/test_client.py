"""Requests before the load: readiness, the model, and the expected answers."""

import socket
from collections.abc import Callable

import pytest

from loadtest.client import (
    NotReadyError,
    Server,
    classify_endpoint,
    record_expected_answers,
    served_models,
    translate_endpoint,
)
from tests.loadtest.conftest import MODELS, Stub, translation


def test_unreachable_service_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotReadyError, match=rf"cannot reach http://127\.0\.0\.1:{port}/readyz: "):
        served_models(Server(f"http://127.0.0.1:{port}"))


def test_missing_direction_and_missing_task_are_reported() -> None:
    with pytest.raises(NotReadyError, match=r"no model translates fr-en \(directions served: de-en\)"):
        translate_endpoint(MODELS, "fr", "en")
    with pytest.raises(NotReadyError, match="no model classifies"):
        classify_endpoint(MODELS[:1])


def test_expected_answers_are_those_of_single_requests(start_stub: Callable[..., Stub]) -> None:
    stub = start_stub()
    server = Server(stub.url)
    endpoint = translate_endpoint(served_models(server), "de", "en")
    workload = record_expected_answers(server, endpoint, ["Hallo.", "Ein Satz."])

    assert workload.expected == (translation("Hallo."), translation("Ein Satz."))
    assert stub.bodies[0] == {"text": "Hallo.", "model": "stub-de-en", "source": "de", "target": "en"}

"""What is asked before the load: readiness, the model, and each text alone."""

import socket
from collections.abc import Callable

import pytest

from loadtest.client import NotReadyError, Server, answers_alone, classify_endpoint, served_models, translate_endpoint
from tests.loadtest.conftest import MODELS, Stub, translation


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotReadyError, match=rf"cannot reach http://127\.0\.0\.1:{port}/readyz: "):
        served_models(Server(f"http://127.0.0.1:{port}"))


def test_a_direction_or_a_task_without_a_model_is_named() -> None:
    with pytest.raises(NotReadyError, match=r"no model translates fr-en \(directions served: de-en\)"):
        translate_endpoint(MODELS, "fr", "en")
    with pytest.raises(NotReadyError, match="no model classifies"):
        classify_endpoint(MODELS[:1])


def test_the_book_holds_each_answer_alone(start_stub: Callable[..., Stub]) -> None:
    stub = start_stub()
    server = Server(stub.url)
    endpoint = translate_endpoint(served_models(server), "de", "en")
    bench = answers_alone(server, endpoint, ["Hallo.", "Ein Satz."])

    assert bench.book == (translation("Hallo."), translation("Ein Satz."))
    assert stub.bodies[0] == {"text": "Hallo.", "model": "stub-de-en", "source": "de", "target": "en"}

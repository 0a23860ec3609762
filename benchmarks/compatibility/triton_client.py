"""All calls of Triton's client, over HTTP and gRPC, that the shipped models can answer.

    ATTENDANT_GRPC_PORT=8001 make serve
    pip install 'tritonclient[http,grpc]'   # in a virtual environment of its own
    python -m benchmarks.compatibility.triton_client

Not called, because the service refuses them: loading and unloading, shared memory, changes of settings, sequences.
"""

import asyncio
import queue
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_client
import tritonclient.http.aio as http_aio

from benchmarks.compatibility.calls import Calls, expect

HTTP, GRPC = "127.0.0.1:8000", "127.0.0.1:8001"
TRANSLATOR, CLASSIFIER, VERSION = "translate-en-de-fr-es", "intents", "2"
LANGUAGES = {"source": "de", "target": "en"}
OF_THE_SERVER = (
    "is_server_live", "is_server_ready", "get_server_metadata", "get_model_repository_index",
    "get_inference_statistics", "get_trace_settings", "get_log_settings", "get_system_shared_memory_status",
    "get_cuda_shared_memory_status", "unregister_system_shared_memory", "unregister_cuda_shared_memory",
)  # fmt: skip
OF_A_MODEL = ("is_model_ready", "get_model_metadata", "get_model_config", "get_inference_statistics")
WAIT = 30.0  # seconds for a callback


def texts_of(module: Any, *texts: str) -> list[Any]:
    """Return the input tensor with texts."""
    tensor = module.InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=object))
    return [tensor]


def common_calls(calls: Calls, kind: str, module: Any, client: Any) -> None:
    """Make the calls that both protocols have."""
    for name in OF_THE_SERVER:
        calls.run(f"{kind} {name}", getattr(client, name))
    for name in OF_A_MODEL:
        for model in (TRANSLATOR, CLASSIFIER):
            calls.run(f"{kind} {name} {model}", partial(getattr(client, name), model))
        calls.run(f"{kind} {name} of a version", partial(getattr(client, name), CLASSIFIER, VERSION))
    calls.run(f"{kind} get_trace_settings of a model", partial(client.get_trace_settings, CLASSIFIER))
    infer = partial(client.infer, CLASSIFIER, texts_of(module, "set an alarm"))
    output = module.InferRequestedOutput
    checks: dict[str, Callable[[], object]] = {
        "translate": lambda: expect(
            client.infer(TRANSLATOR, texts_of(module, "Guten Morgen"), parameters=LANGUAGES).as_numpy("translation")[0],
            b"Good morning",
        ),
        "classify": lambda: expect(infer().as_numpy("label")[0], b"alarm"),
        "class_count": lambda: expect(
            infer(outputs=[output("probability", class_count=3)]).as_numpy("probability").shape, (1, 3)
        ),
        "some outputs": lambda: expect(infer(outputs=[output("label")]).as_numpy("probability"), None),
    }
    for name, check in checks.items():
        calls.run(f"{kind} infer: {name}", check)
    options: dict[str, Any] = {
        "model_version": VERSION, "request_id": "7", "timeout": 5_000_000, "priority": 1, "headers": {"x-test": "1"},
    }  # fmt: skip
    for name, value in options.items():
        calls.run(f"{kind} infer: {name}", partial(infer, **{name: value}))


def http_calls(calls: Calls) -> None:
    """Make the calls over HTTP."""
    client = http_client.InferenceServerClient(HTTP)
    common_calls(calls, "http", http_client, client)
    texts = texts_of(http_client, "set an alarm")
    for coding in ("gzip", "deflate"):
        for side in ("request", "response"):
            options = {f"{side}_compression_algorithm": coding}
            calls.run(f"http infer: {side} {coding}", partial(client.infer, CLASSIFIER, texts, **options))
    in_json = http_client.InferRequestedOutput("label", binary_data=False)
    calls.run("http infer: JSON", partial(client.infer, CLASSIFIER, texts, outputs=[in_json]))
    calls.run("http async_infer", lambda: client.async_infer(CLASSIFIER, texts).get_result())

    async def with_asyncio() -> None:
        async with http_aio.InferenceServerClient(HTTP) as other:
            await other.infer(CLASSIFIER, texts)

    calls.run("http asyncio", lambda: asyncio.run(with_asyncio()))


def grpc_calls(calls: Calls) -> None:
    """Make the calls over gRPC."""
    client = grpc_client.InferenceServerClient(GRPC)
    common_calls(calls, "grpc", grpc_client, client)
    texts = texts_of(grpc_client, "set an alarm")
    for coding in ("gzip", "deflate"):
        calls.run(f"grpc infer: {coding}", partial(client.infer, CLASSIFIER, texts, compression_algorithm=coding))
    calls.run("grpc infer: client_timeout", partial(client.infer, CLASSIFIER, texts, client_timeout=WAIT))
    calls.run("grpc as_json", lambda: client.get_model_metadata(CLASSIFIER, as_json=True)["inputs"])
    errors: queue.Queue[object] = queue.Queue()

    def called_back(result: object, error: object) -> None:
        errors.put(error)

    def later() -> None:
        client.async_infer(CLASSIFIER, texts, callback=called_back)
        expect(errors.get(timeout=WAIT), None)

    def stream() -> None:
        client.start_stream(callback=called_back)
        client.async_stream_infer(CLASSIFIER, texts)
        expect(errors.get(timeout=WAIT), None)
        client.stop_stream()

    async def with_asyncio() -> None:
        async with grpc_aio.InferenceServerClient(GRPC) as other:
            await other.infer(CLASSIFIER, texts)

    calls.run("grpc async_infer", later)
    calls.run("grpc stream", stream)
    calls.run("grpc asyncio", lambda: asyncio.run(with_asyncio()))


def main() -> int:
    """Make all calls and report them."""
    calls = Calls()
    http_calls(calls)
    grpc_calls(calls)
    return calls.report()


if __name__ == "__main__":
    sys.exit(main())

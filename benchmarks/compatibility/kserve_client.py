"""All calls of KServe's inference clients, REST and gRPC, that the shipped models can answer.

    ATTENDANT_GRPC_PORT=8001 make serve
    pip install kserve   # in a virtual environment of its own
    python -m benchmarks.compatibility.kserve_client

It cannot share a process with Triton's client: both register the same protobuf messages.
"""

import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

from benchmarks.compatibility.calls import Calls, expect

HTTP, GRPC = "http://127.0.0.1:8000", "127.0.0.1:8001"
TRANSLATOR, CLASSIFIER = "translate-en-de-fr-es", "intents"
LANGUAGES = {"source": "de", "target": "en"}


def request(model: str, *texts: str, binary: bool = True, **options: Any) -> InferRequest:
    """Return a request with texts, as binary data or in the message itself."""
    tensor = InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=object), binary_data=binary)
    return InferRequest(model, [tensor], **options)


async def rest(name: str) -> None:
    """Make a call of the REST client."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    match name:
        case "is_server_live" | "is_server_ready":
            expect(await getattr(client, name)(HTTP), True)
        case "is_model_ready":
            expect(await client.is_model_ready(HTTP, CLASSIFIER), True)
        case "infer binary":
            found = await client.infer(
                HTTP, request(TRANSLATOR, "Guten Morgen", parameters=LANGUAGES), model_name=TRANSLATOR
            )
            expect(found.outputs[0].data, ["Good morning"])
        case "infer":
            tensor = InferInput("text", [2], "BYTES", data=["set an alarm", "hello"])
            found = await client.infer(HTTP, InferRequest(CLASSIFIER, [tensor], request_id="9"), model_name=CLASSIFIER)
            expect((found.id, found.outputs[0].data), ("9", ["alarm", "greeting"]))


async def grpc(name: str) -> None:
    """Make a call of the gRPC client."""
    client = InferenceGRPCClient(GRPC)
    match name:
        case "is_server_live" | "is_server_ready":
            expect(await getattr(client, name)(), True)
        case "is_model_ready":
            expect(await client.is_model_ready(CLASSIFIER), True)
        case "infer binary":
            found = await client.infer(request(TRANSLATOR, "Guten Morgen", parameters=LANGUAGES))
            expect(found.outputs[0].as_numpy()[0], b"Good morning")
        case "infer":
            found = await client.infer(request(CLASSIFIER, "set an alarm", binary=False))
            expect(found.outputs[0].as_numpy()[0], b"alarm")


def main() -> int:
    """Make all calls and report them."""
    calls = Calls()
    for kind in (rest, grpc):
        for name in ("is_server_live", "is_server_ready", "is_model_ready", "infer", "infer binary"):
            calls.run_async(f"{kind.__name__} {name}", lambda kind=kind, name=name: kind(name))  # type: ignore[misc]
    return calls.report()


if __name__ == "__main__":
    sys.exit(main())

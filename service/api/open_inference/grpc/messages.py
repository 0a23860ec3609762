"""The messages and methods of the gRPC API, made from the compiled description of the protocol (PROTOCOL.md).

The description is loaded into a pool of its own. Generated modules would register it in protobuf's default pool, where
the modules of a client in the same process (tritonclient, kserve) define the same names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

INFERENCE_SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"


@dataclass(frozen=True)
class Method:
    """A method of a service, with the classes of its messages."""

    name: str
    request: type[Message]
    response: type[Message]

    def reply(self, content: Mapping[str, Any]) -> Message:
        """Return a response from its JSON form."""
        return json_format.ParseDict(dict(content), self.response())


def read_methods(service: str) -> dict[str, Method]:
    """Return the methods of a service by name."""
    description = _POOL.FindServiceByName(service)
    message = message_factory.GetMessageClass
    return {
        method.name: Method(method.name, message(method.input_type), message(method.output_type))
        for method in description.methods
    }


def _read_pool() -> descriptor_pool.DescriptorPool:
    content = files(__package__).joinpath("protocol.binpb").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(content).file:
        pool.Add(file)
    return pool


_POOL = _read_pool()

"""The operations of a service from its OpenAPI document, and what the fuzzer sends."""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

MAX_ANSWERED_BYTES = 10_000_000  # of a body; the service reads so much, to discard it, before it closes
Headers = list[tuple[str, str]]
JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"


@dataclass(frozen=True)
class Operation:
    """One operation of the OpenAPI document, with its parameters filled in, and the examples of its body."""

    method: str
    path: str
    examples: tuple[tuple[str, Any], ...]  # (media type, body)
    fields: tuple[str, ...]  # of the body


@dataclass(frozen=True)
class Case:
    """What is sent over one connection.

    A `framed` case is one request that HTTP/1.1 lets a server read to its end,
    so it must be answered. After any other
    the connection may also be closed.
    """

    kind: str
    route: str
    writes: tuple[bytes, ...]
    framed: bool
    method: str = ""
    valid: int | None = None  # the number of the valid request that this is
    upload: bool = False  # whether the response says where the translated document will be

    @property
    def sent(self) -> bytes:
        """All that is sent."""
        return b"".join(self.writes)


def read_operations(document: Mapping[str, Any]) -> list[Operation]:
    """Return the operations of an OpenAPI document, one for each value that its path's parameters may have."""
    found = []
    for template, methods in document["paths"].items():
        for method, operation in methods.items():
            for path in _paths(template, operation):
                content = operation.get("requestBody", {}).get("content", {})
                examples = tuple((media, one) for media, body in content.items() for one in _examples(body))
                fields = {name for body in content.values() for name in _field_names(body, document)}
                found.append(Operation(method.upper(), path, examples, tuple(sorted(fields))))
    return found


def _paths(template: str, operation: Mapping[str, Any]) -> Iterator[str]:
    path, models = template, [""]
    for parameter in operation.get("parameters", ()):
        name = "{" + parameter["name"] + "}"
        if name in path:
            values = parameter["schema"].get("enum")
            if name == "{model}" and values:
                models = values
            else:
                path = path.replace(name, str(values[0]) if values else "0" * 32)
    for model in models:
        yield path.replace("{model}", model)


def _examples(body: Mapping[str, Any]) -> Iterator[Any]:
    if "example" in body:
        yield body["example"]
    for one in body.get("examples", {}).values():
        yield one["value"]


def _field_names(body: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    schema = body.get("schema", {})
    if reference := schema.get("$ref"):
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    for one in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from one.get("properties", {})


class Operations:
    """All operations of a service, by what their bodies may be."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.all = read_operations(document)
        self.with_body = [one for one in self.all if any(media == JSON for media, _ in one.examples)]
        self.with_form = [one for one in self.all if any(media == MULTIPART for media, _ in one.examples)]
        self.valid = [
            (operation, example)
            for operation in self.all
            for example in (operation.examples or ((JSON, None),))
            if example[0] == JSON
        ]

    def json_example(self, rng: random.Random) -> tuple[Operation, Any]:
        """Return an operation and an example of its JSON body."""
        operation = rng.choice(self.with_body)
        return operation, rng.choice([body for media, body in operation.examples if media == JSON])

    def valid_case(self, number: int) -> Case:
        """Return a valid request."""
        operation, (media, body) = self.valid[number]
        content = b"" if body is None else json.dumps(body).encode()
        headers = [("Content-Type", media)] if body is not None else []
        return replace(framed(operation.method, operation.path, headers, content), valid=number)


def raw_request(method: str, path: str, headers: Headers, body: bytes, length: bool = True) -> bytes:
    """Return a request of HTTP/1.1 with a Host; `length` adds the Content-Length of the body."""
    given = [("Host", "localhost"), *headers]
    if length and (body or method == "POST"):
        given.append(("Content-Length", str(len(body))))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given), "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def framed(method: str, path: str, headers: Headers, body: bytes) -> Case:
    """Return a request whose end is clear; a far too large one may end with its connection, before it is read."""
    raw = raw_request(method, path, headers, body)
    return Case("", path, (raw,), framed=len(body) <= MAX_ANSWERED_BYTES, method=method)


def split(rng: random.Random, data: bytes) -> tuple[bytes, ...]:
    """Return the data in a few pieces."""
    if len(data) < 2:
        return (data,)
    ends = sorted({rng.randrange(1, len(data)) for _ in range(rng.randrange(1, 6))} | {len(data)})
    return tuple(data[start:end] for start, end in zip([0, *ends], ends, strict=False))

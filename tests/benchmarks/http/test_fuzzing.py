"""The fuzzer finds what it looks for, in a server that does everything wrong."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.http.fuzzing.cases import KINDS, Cases
from benchmarks.http.fuzzing.client import BadResponse, Fuzzer, read_response
from benchmarks.http.fuzzing.documents import document_requests
from benchmarks.http.fuzzing.requests import Operations
from benchmarks.http.fuzzing.values import Literal, as_pairs, mutate_json, to_json

FORM = {"schema": {}, "example": {"file": "x", "to": "b"}}
DOCUMENT = {
    "components": {"schemas": {"Ask": {"properties": {"text": {}, "model": {}}}}},
    "paths": {
        "/ask/{model}": {
            "post": {
                "parameters": [{"name": "model", "schema": {"enum": ["a", "b"]}}],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/Ask"},
                            "examples": {"one": {"value": {"text": ["a text", "b"], "number": 1}}},
                        }
                    }
                },
            }
        },
        "/v2/document": {"post": {"requestBody": {"content": {"multipart/form-data": FORM}}}},
        "/alive": {"get": {}},
    },
}  # fmt: skip
OPERATIONS = Operations(DOCUMENT)
Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


def response(status: bytes, body: bytes = b"{}", length: int | None = None) -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body) if length is None else length) + body


def test_operations_are_those_of_the_document() -> None:
    assert [(one.method, one.path) for one in OPERATIONS.all] == [
        ("POST", "/ask/a"), ("POST", "/ask/b"), ("POST", "/v2/document"), ("GET", "/alive"),
    ]  # fmt: skip
    assert OPERATIONS.with_body[0].fields == ("model", "text")
    assert len(OPERATIONS.valid) == 3


def test_case_depends_on_seed_and_number_alone() -> None:
    cases = [Cases(OPERATIONS, 1).case(number) for number in range(1000)]
    assert cases == [Cases(OPERATIONS, 1).case(number) for number in range(1000)]
    assert cases != [Cases(OPERATIONS, 2).case(number) for number in range(1000)]
    assert {case.kind for case in cases} == KINDS.keys()
    assert all(case.sent for case in cases)


def test_framed_requests_have_the_length_that_they_declare() -> None:
    for case in (Cases(OPERATIONS, 1).case(number) for number in range(1000)):
        if case.framed and case.kind not in ("headers", "paths and methods", "chunks"):
            head, _, body = case.sent.partition(b"\r\n\r\n")
            assert f"\r\nContent-Length: {len(body)}".encode() in head or not body


def test_json_is_written_as_it_is_meant() -> None:
    value = as_pairs({"a": [1, None, "ä"], "b": {"c": True}})
    assert json.loads(to_json(value)) == {"a": [1, None, "ä"], "b": {"c": True}}
    assert to_json([("a", Literal("1e999")), ("a", 2)]) == '{"a":1e999,"a":2}'
    changed = {to_json(mutate_json(random.Random(n), as_pairs({"a": [1, "b c"]}), ["x"])) for n in range(200)}
    assert len(changed) > 100


def test_document_is_asked_for_and_fetched() -> None:
    rng = random.Random(1)
    requests = document_requests(rng, {"document_id": "A", "document_key": "B"})
    assert requests[-1].startswith(b"POST /v2/document/A/result ")
    assert requests[-1].endswith(b'{"document_key": "B"}')
    fetched = document_requests(rng, {"translatedFileUrl": "http://x/download_file/C.txt"})
    assert fetched[-1].startswith(b"GET /download_file/C.txt ")
    assert document_requests(rng, []) == document_requests(rng, {"detail": "x"}) == []


def run(respond: Respond, numbers: range) -> Fuzzer:
    """Send cases to a server that reads a little and then responds in this way."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        await respond(writer)
        writer.close()

    async def send() -> Fuzzer:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        fuzzer = Fuzzer(server.sockets[0].getsockname()[1], Cases(OPERATIONS, 1))
        fuzzer.expected = [200] * len(OPERATIONS.valid)
        async with server:
            await fuzzer.run(numbers, 4)
        return fuzzer

    return asyncio.run(send())


VALID = [number for number in range(2000) if Cases(OPERATIONS, 1).case(number).kind == "valid"]


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (response(b"500 Internal Server Error"), "status 500"),
        (response(b"504 Gateway Timeout"), "status 504"),
        (response(b"404 Not Found"), "status 404 for a valid request"),
        (response(b"200 OK", b"{"), "the body is no JSON"),
        (response(b"200 OK", length=100), "IncompleteReadError"),
        (b"HTTP/1.1 200", "IncompleteReadError"),
        (b"nonsense\r\n\r\n", "no status line"),
        (b"", "closed without an answer"),
        (response(b"200 OK"), ""),
        (response(b"503 Service Unavailable"), ""),
    ],
)
def test_wrong_answer_is_a_problem(sent: bytes, problem: str) -> None:
    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)

    number = VALID[0]
    problems = run(respond, range(number, number + 1)).problems
    assert len(problems) == bool(problem)
    assert not problem or (problem in problems[0].what and problems[0].number == number)


def test_outcomes_are_counted() -> None:
    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"400 Bad Request"))

    fuzzer = run(respond, range(100))
    assert sum(one.cases for one in fuzzer.outcomes.values()) == 100
    assert {status for one in fuzzer.outcomes.values() for status in one.statuses} <= {400}


def read(data: bytes, no_body: bool = False) -> tuple[int, bytes] | None:
    async def parse() -> tuple[int, bytes] | None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        found = await read_response(reader, no_body)
        return None if found is None else (found.status, found.body)

    return asyncio.run(parse())


def test_responses_of_all_framings_are_read() -> None:
    assert read(response(b"200 OK", b'{"a": 1}')) == (200, b'{"a": 1}')
    assert read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n") == (
        200,
        b"abcd",
    )
    assert read(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc") == (200, b"abc")
    assert read(b"HTTP/1.1 100 Continue\r\n\r\n" + response(b"417 Expectation Failed")) == (417, b"{}")
    assert read(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", no_body=True) == (200, b"")
    assert read(b"HTTP/1.1 204 No Content\r\nallow: GET\r\n\r\n") == (204, b"")
    assert read(b"") is None
    with pytest.raises(BadResponse):
        read(b"HTTP/2 200\r\n\r\n")

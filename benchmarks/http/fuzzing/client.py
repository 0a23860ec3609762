"""Send the fuzzer's cases, read what comes back, and say what is wrong with it."""

import asyncio
import json
import random
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.http.fuzzing.cases import Cases
from benchmarks.http.fuzzing.documents import document_requests
from benchmarks.http.fuzzing.requests import Case

ANSWER_SECONDS = 330.0  # above the service's own deadline
QUIET_SECONDS = 0.1  # without an answer, after which the client of a case that need not be answered sends no more
STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")
FAILURES = {500, 502, 504}
REFUSALS = {429, 503}
STORE_IS_FULL = b"are kept: delete one"  # after a thousand cases that make glossaries
POLLS = 20  # for the result of a document


class BadResponse(Exception):
    """The bytes that came back are no response of HTTP/1.1, or not a whole one."""


@dataclass(frozen=True)
class Response:
    """One response."""

    status: int
    head: bytes
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether it is the last one of its connection."""
        return b"\r\nconnection: close" in self.head


@dataclass
class Outcome:
    """What the cases of one kind came to."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    closed: int = 0  # connections without any response


@dataclass
class Problem:
    """A case with a wrong end; `number` sends it again."""

    number: int
    kind: str
    route: str
    what: str


class Fuzzer:
    """Sends cases to a service on this machine, several at a time."""

    def __init__(self, port: int, cases: Cases) -> None:
        self.port, self.cases = port, cases
        self.outcomes: dict[str, Outcome] = {}
        self.problems: list[Problem] = []
        self.expected: list[int] = []  # statuses of the valid requests

    async def learn(self) -> None:
        """Send every valid request once, and note its status."""
        for number in range(len(self.cases.operations.valid)):
            (response,) = await self._exchange(self.cases.operations.valid_case(number))
            self.expected.append(response.status)

    async def run(self, numbers: Iterable[int], clients: int) -> None:
        """Send the cases with these numbers."""
        waiting = iter(numbers)

        async def client() -> None:
            for number in waiting:
                await self._send(number)

        await asyncio.gather(*(client() for _ in range(clients)))

    async def _send(self, number: int) -> None:
        case = self.cases.case(number)
        outcome = self.outcomes.setdefault(case.kind, Outcome())
        outcome.cases += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                responses = await self._exchange(case)
                if case.upload:
                    responses += await self._follow(random.Random(number), responses[0])
        except TimeoutError:
            self._note(number, case, f"no end after {ANSWER_SECONDS:g} s")
            return
        except (BadResponse, ConnectionError, asyncio.IncompleteReadError) as error:
            self._note(number, case, f"{type(error).__name__}: {error}")
            return
        outcome.closed += not responses
        for response in responses:
            outcome.statuses[response.status] += 1
            if response.status in FAILURES:
                self._note(number, case, f"status {response.status}: {response.body[:300]!r}")
        if (
            case.valid is not None
            and case.framed
            and responses[0].status not in {self.expected[case.valid], *REFUSALS, *FAILURES}
            and STORE_IS_FULL not in responses[0].body
        ):
            self._note(number, case, f"status {responses[0].status} for a valid request: {responses[0].body[:300]!r}")

    def _note(self, number: int, case: Case, what: str) -> None:
        self.problems.append(Problem(number, case.kind, case.route, what))

    async def _follow(self, rng: random.Random, upload: Response) -> list[Response]:
        """Ask for the document of an upload; at last its result, so that the service deletes it."""
        if upload.status != 200:
            return []
        found = []
        for raw in document_requests(rng, json.loads(upload.body)):
            for _ in range(POLLS):
                (response,) = await self._exchange(Case("", "", (raw,), framed=True))
                found.append(response)
                if response.status != 503:
                    break
                await asyncio.sleep(0.05)
        return found

    async def _exchange(self, case: Case) -> list[Response]:
        """Return the responses to a case: one if it is framed, else as many as come.

        Raises:
            BadResponse, ConnectionError, IncompleteReadError: a response is missing, broken or incomplete.
        """
        async with _connect(self.port) as (reader, writer):
            rejected = None
            try:
                for part in case.writes:
                    writer.write(part)
                    await writer.drain()
            except ConnectionError as error:  # the server may answer and close before it has read all
                rejected = error
            if case.framed:
                response = await read_response(reader, case.method == "HEAD")
                if response is None:
                    raise rejected or BadResponse("closed without an answer")
                return [response]
            return await _read_all(reader, writer, b"HEAD " in case.sent)


@asynccontextmanager
async def _connect(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_be_head: bool) -> list[Response]:
    """Return all responses until the server closes; after a quiet moment the client's side is closed."""
    received = bytearray()
    closing = False
    while True:
        try:
            async with asyncio.timeout(None if closing else QUIET_SECONDS):
                chunk = await reader.read(65_536)
        except TimeoutError:
            closing = True
            if writer.can_write_eof() and not writer.is_closing():
                writer.write_eof()
            continue
        except ConnectionError:  # what was sent last may not have been read
            break
        if not chunk:
            break
        received += chunk
    if may_be_head:  # where a response ends depends on its request
        return [Response(int(status), b"", b"") for status in STATUS_LINE.findall(received)]
    return await _parse_all(bytes(received))


async def _parse_all(received: bytes) -> list[Response]:
    reader = asyncio.StreamReader(limit=2**22)
    reader.feed_data(received)
    reader.feed_eof()
    found = []
    while (response := await read_response(reader, no_body=False, may_end=True)) is not None:
        found.append(response)
    return found


async def read_response(reader: asyncio.StreamReader, no_body: bool, may_end: bool = False) -> Response | None:
    """Read one response, None if the connection is closed before it.

    `may_end` allows the connection to end within the response, as when the client has closed its side.

    Raises:
        BadResponse: it is malformed.
        IncompleteReadError: it ends too early.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100 "):
            head = await reader.readuntil(b"\r\n\r\n")
        match = STATUS_LINE.match(head)
        if match is None:
            raise BadResponse(f"no status line: {head[:100]!r}")
        status, lower = int(match[1]), head.lower()
        body = b""
        if not no_body and status not in (204, 304):
            body = await _read_body(reader, lower)
    except asyncio.IncompleteReadError as error:
        if may_end or not error.partial:
            return None
        raise
    if b"application/json" in lower and body:
        _check_json(body)
    return Response(status, lower, body)


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if length := re.search(rb"\r\ncontent-length: (\d+)\r\n", head):
        return await reader.readexactly(int(length[1]))
    if b"\r\ntransfer-encoding: chunked\r\n" not in head:
        return await reader.read()
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


def _check_json(body: bytes) -> None:
    try:
        json.loads(body)
    except ValueError as error:
        raise BadResponse(f"the body is no JSON: {error}: {body[:100]!r}") from None

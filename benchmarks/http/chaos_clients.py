"""Clients for benchmarks/http/chaos.py: they keep connections, leave at random, retry, and know the right answers."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

DISCONNECTS = 0.3  # share of requests whose client leaves before the answer
MAX_STAY = 0.05  # seconds until it leaves, at most
TIMEOUT = 60.0  # seconds for an answer
PAUSE = 0.02  # seconds between two requests of a client, at most
RETRY = 0.1  # seconds until a refused request is sent again


@dataclass(frozen=True)
class Question:
    """A request with a text of its own, and its answer before any fault."""

    path: str
    body: dict[str, Any]
    answer: Any = None

    def bytes(self) -> bytes:
        """The whole HTTP request."""
        body = json.dumps(self.body).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answer_in(body: bytes) -> Any:
    """Return what must be the same each time: the translation or the labels, without the timings."""
    reply = json.loads(body)
    return reply.get("translations") or reply.get("results")


@dataclass
class Tally:
    """What the clients have seen since the last look, and whether a fault explains a refusal now."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    excused: bool = False  # 503, and a refused connection
    ended: bool = False

    def violate(self, what: str) -> None:
        """Record what must not happen."""
        self.counts["violations"] += 1
        if len(self.violations) < 20:
            self.violations.append(what)


class Connection:
    """An HTTP/1.1 connection that is kept as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> asyncio.StreamWriter:
        """Connect, unless the connection is still open.

        Raises:
            OSError: the server does not accept connections.
        """
        if self._reader is None or self._reader.at_eof() or self._writer is None:
            self.close()
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self._writer

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def receive(self) -> tuple[int, bytes]:
        """Return status and body of the next response.

        Raises:
            EOFError, OSError: the connection ended before.
        """
        assert self._reader is not None
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        body = await self._reader.readexactly(length)
        if b"connection: close" in lines:
            self.close()
        return int(head[9:12]), body


class Client:
    """Asks questions one after the other; some requests it abandons, and refused ones it sends again."""

    def __init__(self, port: int, questions: Sequence[Question], tally: Tally, seed: int) -> None:
        self._questions, self._tally, self._random = questions, tally, random.Random(seed)
        self._connection = Connection(port)

    async def run(self) -> None:
        """Ask until the tally has ended."""
        while not self._tally.ended:
            question = self._random.choice(self._questions)
            try:
                writer = await self._connection.open()
            except OSError as error:
                self._refused(f"connection refused: {error}")
                await asyncio.sleep(RETRY)
                continue
            if self._random.random() < DISCONNECTS:
                await self._abandon(question, writer)
            else:
                await self._ask(question, writer)
            await asyncio.sleep(self._random.random() * PAUSE)
        self._connection.close()
        await asyncio.sleep(0)  # in which the event loop closes the socket

    def _refused(self, what: str) -> None:
        self._tally.counts["refused"] += 1
        if not self._tally.excused:
            self._tally.violate(f"refused without a fault: {what}")

    async def _abandon(self, question: Question, writer: asyncio.StreamWriter) -> None:
        """Send a request or a part of it, and leave."""
        data = question.bytes()
        whole = self._random.random() < 0.5
        writer.write(data if whole else data[: self._random.randrange(1, len(data))])
        with suppress(OSError):
            await writer.drain()
        await asyncio.sleep(self._random.random() * MAX_STAY)
        self._connection.close()
        self._tally.counts["abandoned"] += 1

    async def _ask(self, question: Question, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(question.bytes())
            status, body = await asyncio.wait_for(self._connection.receive(), TIMEOUT)
        except (EOFError, OSError, TimeoutError) as error:
            self._connection.close()
            self._tally.counts["lost"] += 1
            self._tally.violate(f"no answer: {error!r}")
            return
        if status == 503:
            self._refused(body[:300].decode(errors="replace"))
            await asyncio.sleep(RETRY)
        elif status != 200:
            self._tally.violate(f"status {status}: {body[:300]!r}")
        elif answer_in(body) != question.answer:
            self._tally.counts["wrong"] += 1
            self._tally.violate(f"wrong answer to {question.body['text']!r}: {body[:300]!r}")
        else:
            self._tally.counts["answered"] += 1

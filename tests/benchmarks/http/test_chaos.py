"""The chaos benchmark: it finds wrong and lost answers, and the service has none."""

import asyncio
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.http.chaos import Usage, growth, run
from benchmarks.http.chaos_clients import Client, Question, Tally

MODELS = Path(__file__).resolve().parents[3] / "models"


def test_service_gives_no_wrong_answer_and_loses_none() -> None:
    with tempfile.TemporaryFile() as log:
        chaos, usage = asyncio.run(run(MODELS, 9.0, 4, log, 20))
        log.seek(0)
        assert b"Traceback" not in log.read()
    assert chaos.tally.violations == []
    assert {row["fault"] for row in chaos.rows.values()} == {
        "SIGTERM and restart", "engine killed", "engine stopped for a while", "none, but disconnects",
    }  # fmt: skip
    assert chaos.tally.counts["answered"] > 20
    assert chaos.tally.counts["abandoned"] > 5
    assert [one["process"] for one in usage] == ["service", "engine"]


@pytest.mark.parametrize(
    ("status", "answer", "found"),
    [
        (200, "eins", {}),
        (200, "zwei", {"wrong": "wrong answer to 'one'"}),
        (500, "eins", {"violations": "status 500"}),
        (503, "eins", {"refused": "refused without a fault"}),
        (None, "", {"lost": "no answer: IncompleteReadError"}),
    ],
)
def test_client_notices_what_must_not_happen(status: int | None, answer: str, found: dict[str, str]) -> None:
    tally, serving = Tally(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        while line := await reader.readline():
            if line == b"\r\n" and status is not None:
                body = json.dumps({"translations": [{"text": answer}]}).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
            elif line == b"\r\n":
                break
        writer.close()
        with suppress(ConnectionError):  # the client has gone
            await writer.wait_closed()

    async def ask() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            client = Client(port, [Question("/v1/translate", {"text": "one"}, [{"text": "eins"}])], tally, seed=1)
            running = asyncio.create_task(client.run())
            async with asyncio.timeout(20):
                while tally.counts["answered"] + tally.counts["violations"] < 3:
                    await asyncio.sleep(0.01)
            tally.ended = True
            await running
            await asyncio.gather(*serving, return_exceptions=True)

    asyncio.run(ask())
    for name, violation in found.items():
        assert tally.counts[name] >= 3
        assert violation in tally.violations[0]
    assert bool(tally.violations) == bool(found)


def test_growth_is_found() -> None:
    before = {"service": Usage(100_000_000, 20), "engine": Usage(500_000_000, 4)}
    assert growth(before, {"service": Usage(116_000_000, 24), "engine": Usage(550_000_000, 4)}) == []
    found = growth(before, {"service": Usage(117_000_000, 25), "engine": Usage(551_000_000, 4)})
    assert [one.partition(":")[0] for one in found] == [
        "memory of the service", "open files of the service", "memory of the engine",
    ]  # fmt: skip

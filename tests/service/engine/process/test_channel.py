"""The connection between the service and its engine process: framing, and both ways to open it."""

import asyncio
import io
import os
import socket
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from service.engine.process.channel import (
    TOKEN_BYTES,
    MessageChannel,
    MessageProtocol,
    encode,
    open_connection,
    start_process,
)
from service.engine.types import EngineFailure
from tests.service.fakes import TIMEOUT

MESSAGES = ["first", list(range(100_000)), {"third": None}]
# A process that sends back what it receives.
ECHO = """
import sys
from service.engine.process.channel import MessageChannel, open_connection

channel = MessageChannel(open_connection(sys.argv[1]))
while (message := channel.receive()) is not None:
    channel.send(message)
"""
inherit_or_connect = pytest.mark.parametrize("inherit", [True, False], ids=["inherited", "loopback"])


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_channel_transfers_messages_in_order(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = map(MessageChannel, ends)

    def send_all() -> None:
        for message in MESSAGES:
            near.send(message)

    sender = threading.Thread(target=send_all)
    sender.start()
    assert [far.receive() for _ in MESSAGES] == MESSAGES
    sender.join()


def test_closed_channel_receives_none_and_ignores_messages(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    far.sendall(encode("cut short")[:-1])
    far.close()
    channel = MessageChannel(near)
    assert channel.receive() is None
    for _ in range(2):
        channel.send("nobody reads this")


@pytest.mark.parametrize("size", [1, 3, 1000, 1_000_000], ids=lambda size: f"chunks of {size}")
def test_protocol_decodes_messages_however_they_are_split(size: int) -> None:
    received: list[Any] = []
    protocol = MessageProtocol(received.append, lambda: None)
    messages = [*MESSAGES[::2], "a" * 2000]
    data = b"".join(map(encode, messages))
    for start in range(0, len(data), size):
        protocol.data_received(data[start : start + size])
    assert received == messages


def test_protocol_reports_lost_connection(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends

    async def run() -> list[Any]:
        received: list[Any] = []
        lost = asyncio.Event()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: MessageProtocol(received.append, lost.set), sock=near)
        MessageChannel(far).send("last")
        far.close()
        await asyncio.wait_for(lost.wait(), TIMEOUT)
        transport.close()
        return received

    assert asyncio.run(run()) == ["last"]


@inherit_or_connect
def test_started_process_exchanges_messages_and_ends_with_the_connection(inherit: bool) -> None:
    process, connection = start_process([sys.executable, "-c", ECHO], os.environ, inherit)
    with connection:
        channel = MessageChannel(connection)
        for message in MESSAGES:
            sender = threading.Thread(target=channel.send, args=(message,))
            sender.start()
            assert channel.receive() == message
            sender.join()
    assert process.wait(TIMEOUT) == 0


def test_process_that_ends_before_it_connects_raises() -> None:
    with pytest.raises(EngineFailure, match="ended at once, with status 7"):
        start_process([sys.executable, "-c", "raise SystemExit(7)"], os.environ, inherit=False)


# Connects twice without the token, as another local program might, before the process itself does.
INTRUDED = """
import socket, sys
from service.engine.process import channel

address = (channel.LOOPBACK, int(sys.argv[1].partition(":")[2]))
wrong = socket.create_connection(address)
wrong.sendall(bytes(channel.TOKEN_BYTES))
assert not wrong.recv(1)
silent = socket.create_connection(address)
silent.close()
channel.MessageChannel(channel.open_connection(sys.argv[1])).send("authentic")
"""


def test_connections_without_the_token_are_rejected() -> None:
    process, connection = start_process([sys.executable, "-c", INTRUDED], os.environ, inherit=False)
    with connection:
        assert MessageChannel(connection).receive() == "authentic"
    assert process.wait(TIMEOUT) == 0


def test_loopback_connection_starts_with_the_token_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    token = bytes(range(TOKEN_BYTES))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(token + b"more")))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with open_connection(f"tcp:{listener.getsockname()[1]}"):
            accepted, _ = listener.accept()
        with accepted:
            assert accepted.makefile("rb").read() == token


def test_inherited_connection_is_opened_by_descriptor(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    with open_connection(f"fd:{far.detach()}") as opened:
        MessageChannel(near).send("hello")
        assert MessageChannel(opened).receive() == "hello"

"""The life of the server: stopping without losing a request."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from service.http.server import ListenError, listen
from tests.service.conftest import TRANSLATE, Process, Service, Start, eventually
from tests.service.fakes import TIMEOUT, EchoEngine, HeldEngine
from tests.service.http.test_protocol import BODY, HEAD, read_response
from tests.service.http.test_request_log import connect

GET = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
CLASSIFY = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n"
CLASSIFY += b'{"text": "orange"}'


def kept_client(address: tuple[str, int], pause: float) -> tuple[int, bool]:
    """Send requests on one connection until an answer closes it; return the answers, and whether each was complete."""
    with socket.create_connection(address, timeout=TIMEOUT) as connection:
        answers = 0
        while True:
            connection.sendall(CLASSIFY)
            try:
                received = read_response(connection)
            except (OSError, ValueError):  # reset, or closed without an answer
                return answers, False
            answers += 1
            if not received.startswith(b"HTTP/1.1 200"):
                return answers, False
            if b"\r\nconnection: close" in received.lower():
                return answers, True
            time.sleep(pause)


@pytest.mark.parametrize("lame_duck", [0, 0.5])
def test_no_kept_client_loses_a_request_at_sigterm(start: Start, lame_duck: float) -> None:
    service = start(lame_duck_seconds=lame_duck, drain_timeout_seconds=10)
    url = httpx.URL(service.url)
    with ThreadPoolExecutor(32) as pool:
        pauses = [0.0] * 24 + [0.2] * 4 + [1.0] * 4  # seconds between two requests of a client
        clients = [pool.submit(kept_client, (url.host, url.port or 0), pause) for pause in pauses]
        with httpx.Client(base_url=service.url, timeout=TIMEOUT) as client:
            eventually(lambda: 'status="200"' in client.get("/metrics").text)
        stopped = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - stopped < 10 + lame_duck
        assert [client.result(TIMEOUT)[1] for client in clients] == [True] * 32
    assert "Traceback" not in "".join(service.log)


def test_lame_duck_accepts_connections_but_is_not_ready(start: Start) -> None:
    service = start(lame_duck_seconds=60)
    with httpx.Client(base_url=service.url, timeout=TIMEOUT) as client:
        assert client.get("/readyz").status_code == 200
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: client.get("/readyz").status_code == 503)
        response = client.post("/v1/translate", json=TRANSLATE)
        assert (response.status_code, response.headers["connection"]) == (200, "close")
        assert client.get("/v2/health/ready").status_code == 503
    assert service.stop() == 0  # the second signal


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no such signal")
@pytest.mark.parametrize("ignored", [False, True])
def test_hangup_reloads_unless_it_is_ignored_as_under_nohup(start: Start, ignored: bool) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)  # the service inherits it
    try:
        service = start()
    finally:
        signal.signal(signal.SIGHUP, before)
    service.process.send_signal(signal.SIGHUP)
    if not ignored:
        eventually(lambda: any("reloading API keys, limits and models" in line for line in service.log))
    assert httpx.get(f"{service.url}/readyz", timeout=TIMEOUT).status_code == 200
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(TIMEOUT) == 0
    assert ignored != any("reloading" in line for line in service.log)


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no such terminals")
def test_hangup_stops_a_service_in_a_terminal(start: Start) -> None:
    terminal, stdin = os.openpty()
    try:
        service = start(stdin=stdin)
        service.process.send_signal(signal.SIGHUP)
        assert service.process.wait(TIMEOUT) == 0
    finally:
        os.close(terminal)
        os.close(stdin)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="the system has no such signal")
def test_exit_stays_within_the_drain_time_beside_a_stopped_engine(start: Start) -> None:
    service = start(drain_timeout_seconds=2)
    engine = engine_of(service)
    os.kill(engine, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{service.url}/v1/translate", json=TRANSLATE, timeout=TIMEOUT)
        with httpx.Client(base_url=service.url, timeout=TIMEOUT) as client:
            eventually(lambda: "attendant_requests_in_flight 2.0" in client.get("/metrics").text)
        stopped = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - stopped < 2.5
        assert answer.result(TIMEOUT).status_code == 503


def test_service_outlives_a_lack_of_file_descriptors(start: Start) -> None:
    """Connections above the limit take the place of idle ones, every request is answered, and the log says so."""
    service = start(limit="-n 64", workers=1)
    url = httpx.URL(service.url)
    address = url.host, url.port or 0
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(address, timeout=TIMEOUT)) for _ in range(100)]
        with socket.create_connection(address, timeout=TIMEOUT) as connection:
            connection.sendall(CLASSIFY)
            assert read_response(connection)[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 503")
        eventually(lambda: 40 < sum(map(is_closed, idle)) < 70)
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: classify(service), range(100)))
    assert set(answers) <= {200, 503}
    assert httpx.get(f"{service.url}/readyz", timeout=TIMEOUT).status_code == 200
    assert service.stop() == 0
    eventually(lambda: "Finished server process" in service.log[-1])
    log = "".join(service.log)
    assert "but the limit of 64 open files allows" in log
    assert "idle connections were closed for new ones" in log
    assert "Traceback" not in log


def classify(service: Process) -> int:
    """Return the status of a classification on a connection of its own."""
    return httpx.post(f"{service.url}/v1/classify", json={"text": "orange"}, timeout=TIMEOUT).status_code


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server has closed a connection on which it sends nothing."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


def engine_of(service: Process) -> int:
    """Return the process id of a service's engine."""
    with open(f"/proc/{service.process.pid}/task/{service.process.pid}/children", encoding="ascii") as file:
        return int(file.read().split()[0])


def test_idle_connection_is_served_once_more(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine())
    with connect(service) as connection, connect(service) as silent:
        connection.sendall(GET)
        assert read_response(connection).startswith(b"HTTP/1.1 200")
        service.stop(signal.SIGTERM, None)
        connection.sendall(HEAD.encode() + b"\r\n" + BODY)
        received = read_response(connection)
        assert received.startswith(b"HTTP/1.1 200")
        assert b"\r\nconnection: close" in received
        assert connection.recv(1) == b""
        assert silent.recv(1) == b""  # closed a little later


def test_pipelined_requests_are_answered_while_stopping(serve_fake: Callable[..., Service]) -> None:
    engine = HeldEngine()
    engine.allow(1)  # to warm up
    service = serve_fake(engine)
    with connect(service) as connection:
        request = HEAD.encode() + b"\r\n" + BODY
        connection.sendall(request)
        engine.wait_for_step(2)
        service.stop(signal.SIGTERM, None)
        connection.sendall(request + request)
        engine.allow(100)
        received = b""
        while data := connection.recv(65_536):
            received += data
    assert received.count(b"HTTP/1.1 200") == 3
    assert received.count(b"connection: close") == 1


def test_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1 port {port}: address already in use"):
            listen("127.0.0.1", port)

"""The load generator against a small HTTP server that responds in awkward pieces."""

import json
import threading
from collections.abc import Iterator
from io import BufferedIOBase
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from benchmarks.http.load_generator import (
    ClientConnection,
    HttpLoad,
    LoadLoop,
    Traffic,
    TrafficError,
    content_length,
    encode,
    summarise,
)


def read_request(file: BufferedIOBase) -> tuple[str, bytes]:
    """Return the path and the body of the next request; an empty path at the end of the connection."""
    start, length = file.readline().split(), 0
    while start and (line := file.readline().strip().lower()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return start[1].decode() if start else "", file.read(length)


class Handler(StreamRequestHandler):
    """Answers a request with its own body, in pieces; to "refuse" with status 503, to "close" not at all."""

    def handle(self) -> None:
        while True:
            path, body = read_request(self.rfile)
            if not path or b"close" in body:
                return
            status = b"503 Full" if b"refuse" in body else b"200 OK"
            for piece in (b"HTTP/1.1 ", status, b"\r\nContent-Le", b"ngth: %d\r\n\r\n" % len(body), body[:5], body[5:]):
                self.wfile.write(piece)
                self.wfile.flush()


class Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


@pytest.fixture
def port() -> Iterator[int]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def bodies(*texts: str) -> list[tuple[str, str]]:
    return [("/v1/translate", json.dumps({"text": text})) for text in texts]


def test_every_client_sends_again_after_each_response(port: int) -> None:
    found = LoadLoop(HttpLoad(port, bodies("one", "a longer text, übung"), clients=8, warm_up=0.1, seconds=0.3)).run()
    assert found.answers > 16
    assert not found.errors
    assert found.per_second == pytest.approx(found.answers / found.seconds)
    assert 0 < found.p50_ms <= found.p95_ms <= found.p99_ms
    assert {json.loads(body)["text"] for body in found.sample} <= {"one", "a longer text, übung"}


def test_refusals_are_counted_as_errors(port: int) -> None:
    found = LoadLoop(HttpLoad(port, bodies("refuse"), clients=2, warm_up=0.0, seconds=0.1)).run()
    assert found.answers == 0
    assert found.errors["503"] > 0
    assert found.p95_ms == 0


def test_closed_connection_raises(port: int) -> None:
    with pytest.raises(TrafficError, match="closed"):
        LoadLoop(HttpLoad(port, bodies("close"), clients=2, warm_up=0.0, seconds=1.0)).run()


def test_process_sends_several_loads(port: int) -> None:
    with Traffic() as traffic:
        assert traffic.send(HttpLoad(port, bodies("one"), clients=2, warm_up=0.0, seconds=0.1)).answers > 0
        with pytest.raises(TrafficError, match="closed"):
            traffic.send(HttpLoad(port, bodies("close"), clients=2, warm_up=0.0, seconds=0.1))
        assert traffic.send(HttpLoad(port, bodies("one"), clients=2, warm_up=0.0, seconds=0.1)).answers > 0


def test_content_length_counts_bytes() -> None:
    request = encode("/v1/translate", '{"text": "ü"}')
    head, _, body = request.partition(b"\r\n\r\n")
    assert content_length(head) == len(body) == 14


def test_response_without_content_length_raises() -> None:
    with pytest.raises(TrafficError, match="Content-Length"):
        content_length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked")


def test_percentiles_use_nearest_rank() -> None:
    found = summarise([i / 1000 for i in range(1, 101)], {}, 2.0, (0.1, None), [])
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (50.0, 95.0, 99.0)
    assert found.per_second == 50


def test_client_connects_to_loopback_only(port: int) -> None:
    client = ClientConnection(port)
    assert client.socket.getpeername() == ("127.0.0.1", port)
    client.socket.close()

"""The open loop against a small HTTP server that accepts, refuses, mixes up and drops requests."""

import json
import threading
from collections.abc import Iterator
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from benchmarks.http.open_loop import Crowd, OpenLoad, OpenLoop, has_number, number_of
from benchmarks.http.overload import missed, summary
from tests.benchmarks.http.test_load_generator import read_request


class Handler(StreamRequestHandler):
    """Translates a text to itself; of a path it does what that says."""

    def handle(self) -> None:
        while True:
            path, body = read_request(self.rfile)
            if not path or path == "/close":
                return
            text = json.loads(body)["text"]
            if path == "/wrong":
                text = "There are 7 books."
            answer = json.dumps({"translations": [{"text": text}]}).encode()
            status = b"503 Full" if path == "/refuse" else b"200 OK"
            self.wfile.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(answer)))
            self.wfile.write(answer)


class Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256
    connections = 0

    def get_request(self) -> tuple[object, object]:  # type: ignore[override]
        self.connections += 1
        return super().get_request()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def load(server: Server, **changes: object) -> OpenLoad:
    options = {"fields": {"source": "en"}, "text": "There are {number} books.", "seconds": 0.2, "rate": 100.0}
    return OpenLoad(server.server_address[1], **(options | changes))  # type: ignore[arg-type]


def test_requests_are_sent_at_the_rate_on_connections_of_their_own(server: Server) -> None:
    found = OpenLoop(load(server)).run()
    assert found.sent == 20
    assert found.statuses == {"200": 20}
    assert (found.wrong, found.reset, found.closed, found.unanswered) == (0, 0, 0, 0)
    assert 0 < found.accepted["p50"] <= found.accepted["p99"] <= found.accepted["max"]
    assert server.connections == 20


def test_kept_connections_are_used_again(server: Server) -> None:
    found = OpenLoop(load(server, keep=True)).run()
    assert found.statuses == {"200": 20}
    assert server.connections < 20


def test_closed_loop_keeps_so_many_requests_open(server: Server) -> None:
    found = OpenLoop(load(server, rate=0.0, clients=3, keep=True)).run()
    assert server.connections == 3
    assert found.statuses == {"200": found.sent}


def test_refusals_have_latencies_of_their_own(server: Server) -> None:
    found = OpenLoop(load(server, path="/refuse")).run()
    assert found.statuses == {"503": 20}
    assert found.accepted["max"] == 0 < found.refused["p50"] <= found.refused["max"]


def test_answer_to_another_request_is_wrong(server: Server) -> None:
    assert OpenLoop(load(server, path="/wrong")).run().wrong == 20


def test_connection_closed_without_an_answer_is_counted(server: Server) -> None:
    found = OpenLoop(load(server, path="/close")).run()
    assert found.closed + found.reset == 20


@pytest.mark.parametrize("text", ["Es gibt 12345 Bücher.", "Es gibt 12.345 Bücher.", "12\u202f345 livres"])
def test_digits_may_be_grouped(text: str) -> None:
    body = json.dumps({"translations": [{"text": text}]}).encode()
    assert has_number(body, 12_345)
    assert not has_number(body, 12_346)


def test_numbers_have_five_digits_and_repeat_only_after_all_were_used() -> None:
    numbers = {number_of(k) for k in range(90_000)}
    assert numbers == set(range(10_000, 100_000))


def test_crowd_is_a_process(server: Server) -> None:
    with Crowd() as crowd:
        assert crowd.send(load(server)).statuses == {"200": 20}


GOOD = {
    "goodput_to_peak": 0.95, "refused_max_ms": 20.0, "p99_to_steady": 2.0, "lost": 0, "wrong": 0, "errors": 0,
    "ready_after": True, "refused_after": 0,
}  # fmt: skip


def test_bars_are_held_against_medians_and_against_every_loss() -> None:
    assert not missed(summary([GOOD, GOOD | {"goodput_to_peak": 0.5}, GOOD]))
    bad = GOOD | {"lost": 1, "ready_after": False}
    assert [miss.split(" is ")[0] for miss in missed(summary([GOOD, bad, GOOD]))] == [
        "not ready right after the overload", "lost",
    ]  # fmt: skip

"""The proxies of the rolling restart run with the configurations of deploy/, and spread requests."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

import pytest

from benchmarks.operations.proxies import find_proxy, haproxy, nginx
from benchmarks.operations.rolling_restart import connect, ways


@contextlib.contextmanager
def backends(count: int) -> Iterator[tuple[list[int], Counter[int]]]:
    """Run servers that answer anything; count their requests but for those of probes."""
    seen = Counter[int]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path != "/readyz":
                seen[cast(ThreadingHTTPServer, self.server).server_port] += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) for _ in range(count)]
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.01,)).start()
            stack.callback(server.shutdown)
        yield [server.server_port for server in servers], seen


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_proxy_asks_all_instances(name: str) -> None:
    if find_proxy(name) is None:
        pytest.skip(f"{name} is not installed")
    with backends(3) as (ports, seen), {"nginx": nginx, "haproxy": haproxy}[name](ports) as proxy:
        for _ in range(12):
            connection = connect(proxy)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            connection.close()
        assert set(seen) == set(ports)


def test_nginx_needs_as_many_ports_as_its_configuration_has_servers() -> None:
    with pytest.raises(ValueError, match="has 3 servers, not 1"), nginx([1]):
        pass


def test_ways_have_the_times_of_the_deployments() -> None:
    by_name = {way.name: way for way in ways()}
    pod = by_name["HAProxy, probes of the pod"]
    assert pod.settings == {"ATTENDANT_LAME_DUCK_SECONDS": "5", "ATTENDANT_DRAIN_TIMEOUT_SECONDS": "30"}
    assert pod.grace_seconds == 40
    assert not by_name["HAProxy, SIGKILL"].loses_none

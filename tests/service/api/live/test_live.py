"""GET /metrics/live: figures and batches while somebody looks, nothing otherwise; its limits and its end."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from service.api.live.routes import MAX_LISTENERS
from service.api.live.trace import JOINED, LEFT, MAX_EVENTS, STEP, BatchTrace
from service.engine.options import DecodingOptions
from service.engine.process.remote_pool import RemoteWorkerPool
from service.engine.types import EngineRequest
from service.http.start_page import LIVE_PATH
from tests.service.conftest import TRANSLATE, Service, assert_problem, eventually
from tests.service.fakes import EchoEngine

Events = Iterator[tuple[str, dict[str, Any]]]


@contextmanager
def listening(service: Service) -> Iterator[Events]:
    with service.client.stream("GET", LIVE_PATH) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield read_events(response.iter_lines())


def read_events(lines: Iterator[str]) -> Events:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def is_watched(service: Service) -> bool:
    pools = [cast(RemoteWorkerPool, pool) for model in service.registry for pool in model.worker_pools]
    assert pools
    return any(pool.watcher is not None for pool in pools)


def test_listener_sees_rows_join_grow_and_leave(service: Service) -> None:
    assert not is_watched(service)
    with listening(service) as events:
        assert next(events)[0] == "figures"
        assert is_watched(service)
        texts = ["red house", "one two three four"]
        assert service.post("/v1/translate", {**TRANSLATE, "text": texts}).status_code == 200
        found: list[list[int]] = []
        while sum(event[0] == LEFT for event in found) < 2:
            name, data = next(events)
            found += data.get("toy-translator", []) if name == "batches" else []
    joined = [event for event in found if event[0] == JOINED]
    assert [width for *_, width in joined] == [1, 1]
    assert len({row for _, _, row, _, _ in joined}) == 2
    assert joined[0][3] != joined[1][3]  # source tokens
    assert sum(event[0] == STEP for event in found) >= 4
    assert sorted(event[1] for event in found if event[0] == LEFT) == sorted(row for _, _, row, _, _ in joined)
    eventually(lambda: not is_watched(service))


def test_figures_count_what_the_metrics_count(service: Service) -> None:
    with listening(service) as events:
        before = next(events)[1]
        assert service.post("/v1/translate", TRANSLATE).status_code == 200
        after = next(data for name, data in events if name == "figures")
    assert after["requests"] == before["requests"] + 1
    assert after["segments"] == before["segments"] + 1
    assert after["answered"] == before["answered"] + 1
    assert after["tokens"] > before["tokens"]
    assert after["rows"] >= after["steps"] > before["steps"]
    assert after["time"] > before["time"]
    bounds = [bound for bound, _ in after["latency"]]
    counts = [count for _, count in after["latency"]]
    assert (bounds, counts) == (sorted(bounds), sorted(counts))


def test_refusals_are_counted(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), requests_per_minute=1)
    assert [service.post("/v1/translate", TRANSLATE).status_code for _ in range(3)] == [200, 429, 429]
    with listening(service) as events:
        assert next(events)[1]["refused"] == 2


def test_listeners_are_limited(service: Service) -> None:
    with ExitStack() as stack:
        listeners = [stack.enter_context(listening(service)) for _ in range(MAX_LISTENERS)]
        assert [next(events)[0] for events in listeners] == ["figures"] * MAX_LISTENERS
        problem = assert_problem(service.client.get(LIVE_PATH), 503, "overloaded")
        assert problem["detail"].startswith(f"{MAX_LISTENERS} viewers watch")
    eventually(lambda: not is_watched(service))  # the service reads the ends of connections one after the other
    with listening(service) as events:
        assert next(events)


def test_stream_ends_when_the_service_stops(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), lame_duck_seconds=5)
    with listening(service) as events:
        next(events)
        service.stop(signal.SIGTERM, None)
        assert [name for name, _ in events if name != "figures"] == []
    assert_problem(service.client.get(LIVE_PATH), 503, "not_ready")


def test_trace_has_a_cancelled_request_and_each_one_once() -> None:
    trace = BatchTrace()
    requests = [EngineRequest([7, 8, 9], DecodingOptions(beam_size=2)), EngineRequest([7])]
    trace.on_joined(1, requests)
    trace.on_step(1)
    requests[0].future.cancel()
    trace.on_left(requests[1])
    requests[1].future.cancel()
    trace.on_left(EngineRequest([7]))  # it joined before the trace began
    assert trace.take() == [[JOINED, 1, 0, 3, 2], [JOINED, 1, 1, 1, 1], [STEP, 1], [LEFT, 0], [LEFT, 1]]
    assert trace.take() == []


def test_trace_is_bounded() -> None:
    trace = BatchTrace()
    for _ in range(MAX_EVENTS + 10):
        trace.on_step(0)
    assert len(trace.take()) == MAX_EVENTS

"""Traces of requests, received over OTLP; the metrics' exemplars that name them; and no trace where none is wanted."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.processes import free_port
from service.engine.process.client import EngineProcess
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from service.tracing.spans import current_trace, span
from tests.service.conftest import CLASSIFY, TRANSLATE, Service, serving

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

from service.tracing.otel import MAX_SEGMENTS  # noqa: E402

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "a=1"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-00"}


@dataclass
class Collector:
    """An OTLP receiver and the spans that it got."""

    port: int
    spans: list[Any] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)

    def named(self, name: str) -> Any:
        [found] = [one for one in self.spans if one.name == name]
        return found

    def children(self, parent: Any) -> list[str]:
        """Return the names of a span's children, in the order in which they began."""
        found = [one for one in self.spans if one.parent_span_id == parent.span_id]
        return [one.name for one in sorted(found, key=lambda one: one.start_time_unix_nano)]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run an OTLP receiver."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                received.resources.append(attributes(resource_spans.resource))
                for scope_spans in resource_spans.scope_spans:
                    received.spans.extend(scope_spans.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Collector(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


def attributes(message: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in message.attributes}


def run_traced(toy_models: Path, collector_port: int, use: Callable[[Service], object], share: float = 1e-9) -> None:
    """Use a traced service, stop it, and so have it send its traces."""
    settings, metrics = Settings(models=toy_models, workers=1, threads=1, traces=share), Metrics()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector_port}")
        with EngineProcess() as engine:
            registry = load_models(settings, metrics, engine.start_pools)
            with serving(settings, registry, metrics) as service:
                use(service)


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    return {}


@pytest.fixture(scope="module")
def collector(toy_models: Path, answers: dict[str, Any]) -> Collector:
    """The spans of a translation, a classification, a stream, a failed request, and a long one."""

    def use(service: Service) -> None:
        def post(name: str, path: str, body: Any, headers: dict[str, str] = SAMPLED) -> None:
            answers[name] = service.post(path, body, headers={"X-Request-ID": name, **headers})

        post("translation", "/v1/translate", TRANSLATE)
        post("classification", "/v1/classify", CLASSIFY)
        post("stream", "/v1/translate", TRANSLATE | {"stream": True})
        post("failed", "/v1/translate", TRANSLATE | {"target": "xx"})
        post("long", "/v1/classify", {"text": [CLASSIFY["text"]] * (MAX_SEGMENTS + 3)})
        post("untraced", "/v1/translate", TRANSLATE, NOT_SAMPLED)
        post("by chance", "/v1/translate", TRANSLATE, {})
        answers["metrics"] = service.client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        answers["text"] = service.client.get("/metrics")

    with collecting() as collector:
        run_traced(toy_models, collector.port, use)
    return collector


def trace_of(collector: Collector, request: str) -> tuple[Any, Collector]:
    """Return the root span of a request, and the spans below it."""
    [root] = [one for one in collector.spans if attributes(one).get("attendant.request_id") == request]
    found, ids = [root], {root.span_id}
    while more := [one for one in collector.spans if one.parent_span_id in ids and one not in found]:
        found += more
        ids |= {one.span_id for one in more}
    return root, Collector(collector.port, found)


def test_a_translation_has_all_its_spans(collector: Collector) -> None:
    root, trace = trace_of(collector, "translation")
    assert root.name == "POST /v1/translate"
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, CALLER)
    assert sorted(trace.children(root)) == ["read", "reassemble", "segment", "segment of toy-translator"]
    segment = trace.named("segment of toy-translator")
    assert trace.children(segment) == ["queue", "encode", "steps"]
    assert len(trace.spans) == 8
    order = [trace.named(name) for name in ("read", "segment", "queue", "encode", "steps", "reassemble")]
    for one, following in zip(order, order[1:], strict=False):
        assert one.end_time_unix_nano <= following.end_time_unix_nano, (one.name, following.name)
    for one in trace.spans:
        assert root.start_time_unix_nano <= one.start_time_unix_nano <= one.end_time_unix_nano, one.name
        assert one.end_time_unix_nano <= root.end_time_unix_nano, one.name
    assert abs(root.end_time_unix_nano - time.time_ns()) < 600e9


def test_spans_have_numbers_and_names(collector: Collector) -> None:
    root, trace = trace_of(collector, "translation")
    found = attributes(root)
    assert (found["http.route"], found["http.request.method"]) == ("/v1/translate", "POST")
    assert (found["http.response.status_code"], found["attendant.segments"]) == (200, 1)
    assert found["attendant.source_tokens"] > 0
    segment = attributes(trace.named("segment of toy-translator"))
    assert (segment["attendant.model"], segment["attendant.rows"]) == ("toy-translator", 1)
    assert segment["attendant.target_tokens"] == found["attendant.target_tokens"]
    assert collector.resources[0]["service.name"] == "attendant"


def test_no_span_has_a_text(collector: Collector, answers: dict[str, Any]) -> None:
    words = {*TRANSLATE["text"].split(), *CLASSIFY["text"].split()}
    words |= set(answers["translation"].json()["translations"][0]["text"].split())
    for one in collector.spans:
        written = f"{one.name} {attributes(one)} {one.status}"
        assert not words & set(re.findall(r"\w+", written)), written


def test_the_response_names_the_trace(collector: Collector, answers: dict[str, Any]) -> None:
    root, _ = trace_of(collector, "translation")
    assert answers["translation"].headers["traceparent"] == f"00-{TRACE}-{root.span_id.hex()}-01"
    assert "traceparent" not in answers["untraced"].headers


def test_a_classification_and_a_stream_have_spans_too(collector: Collector) -> None:
    root, trace = trace_of(collector, "classification")
    assert trace.children(root) == ["read", "segment of toy-classifier"]
    assert trace.children(trace.named("segment of toy-classifier")) == ["queue", "encode", "steps"]
    root, trace = trace_of(collector, "stream")
    assert sorted(trace.children(root)) == ["read", "reassemble", "segment", "segment of toy-translator"]


def test_a_refused_request_has_its_status(collector: Collector) -> None:
    root, trace = trace_of(collector, "failed")
    assert attributes(root)["http.response.status_code"] == 404
    assert trace.children(root) == ["read"]


def test_spans_of_a_request_are_limited_in_number(collector: Collector) -> None:
    root, trace = trace_of(collector, "long")
    assert attributes(root)["attendant.segments"] == MAX_SEGMENTS + 3
    assert trace.children(root).count("segment of toy-classifier") == MAX_SEGMENTS


def test_the_callers_choice_and_the_share_decide(collector: Collector) -> None:
    requests = {attributes(one).get("attendant.request_id") for one in collector.spans}
    assert {"translation", "long"} <= requests
    assert not {"untraced", "by chance"} & requests


def test_metrics_have_exemplars_in_openmetrics_alone(collector: Collector, answers: dict[str, Any]) -> None:
    assert answers["metrics"].headers["content-type"].startswith("application/openmetrics-text")
    for series in ("request_seconds", "queue_seconds", "compute_seconds"):
        pattern = rf'attendant_{series}_bucket{{.*}} \S+ # {{span_id="\w{{16}}",trace_id="{TRACE}"}}'
        assert re.search(pattern, answers["metrics"].text), series
    assert answers["metrics"].text.endswith("# EOF\n")
    assert answers["text"].headers["content-type"].startswith("text/plain")
    assert TRACE not in answers["text"].text


def test_a_share_of_one_traces_all(toy_models: Path) -> None:
    with collecting() as collector:
        run_traced(toy_models, collector.port, lambda service: service.post("/v1/classify", CLASSIFY), share=1.0)
    [root] = [one for one in collector.spans if not one.parent_span_id]
    assert root.name == "POST /v1/classify"


def test_a_missing_collector_delays_neither_answers_nor_the_stop(toy_models: Path) -> None:
    statuses = []
    started = time.monotonic()
    run_traced(toy_models, free_port(), lambda service: statuses.append(service.post("/v1/classify", CLASSIFY)), 1.0)
    assert [one.status_code for one in statuses] == [200]
    assert time.monotonic() - started < 20  # the drain time is 30 s


def test_without_a_trace_a_span_is_nothing() -> None:
    assert current_trace.get() is None
    with span("segment"):
        assert current_trace.get() is None


def test_opentelemetry_is_loaded_only_for_traces() -> None:
    code = "import sys, service.__main__; sys.exit('opentelemetry.sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from service.app import _tracer\nfrom service.settings import SettingsError\n"
        "try: _tracer(0.5)\nexcept SettingsError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "ATTENDANT_TRACES is 0.5" in found
    assert "install the extra `otel`" in found

"""The metrics of text-embeddings-inference under its own names, for the dashboards and autoscalers that read them.

They are made of the service's own metrics whenever those are rendered: nothing is counted twice.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric, UntypedMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from service.metrics import Metrics

ROUTES = frozenset({"/", "/predict", "/invocations"})  # that classify
FAILURES = {"400": "validation", "413": "validation", "422": "tokenization", "429": "overloaded", "503": "overloaded"}
HISTOGRAMS = {  # TEI's name: ours
    "te_request_duration": "attendant_request_seconds",
    "te_request_queue_duration": "attendant_queue_seconds",
    "te_request_inference_duration": "attendant_compute_seconds",
}


class TeiMetrics(Collector):
    """Collects TEI's metrics; those of requests count its routes, those of queue and inference all texts."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering this collects nothing."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        counts: Counter[str] = Counter()
        for sample in self._samples(self._metrics.requests):
            if sample.name.endswith("_total") and sample.labels["method"] == "POST" and _is_route(sample):
                counts[sample.labels["status"]] += int(sample.value)
        yield UntypedMetricFamily("te_request_count", "Requests", float(counts.total()))
        yield UntypedMetricFamily("te_request_success", "Requests with an answer", float(counts["200"]))
        failures = Counter[str]()
        for status, count in counts.items():
            if status != "200":
                failures[FAILURES.get(status, "inference")] += count
        failed = UntypedMetricFamily("te_request_failure", "Requests with an error, by its kind", labels=["err"])
        for kind, count in failures.items():
            failed.add_metric([kind], float(count))
        yield failed
        for name, own in HISTOGRAMS.items():
            yield self._histogram(name, own)
        waiting = sum(sample.value for sample in self._samples(self._metrics.waiting))
        yield GaugeMetricFamily("te_queue_size", "Texts in the queue", waiting)

    def _histogram(self, name: str, own: str) -> Metric:
        """Return the sum of one of the service's histograms over its models, or over TEI's routes."""
        buckets: Counter[str] = Counter()
        total = 0.0
        histograms = (self._metrics.request_seconds, self._metrics.queue_seconds, self._metrics.compute_seconds)
        for sample in (sample for one in histograms for sample in self._samples(one)):
            if "route" in sample.labels and not _is_route(sample):
                continue
            if sample.name == f"{own}_bucket":
                buckets[sample.labels["le"]] += int(sample.value)
            elif sample.name == f"{own}_sum":
                total += sample.value
        family = HistogramMetricFamily(name, "Seconds")
        bounds = sorted(buckets, key=float) or ["+Inf"]
        family.add_metric([], [(bound, float(buckets[bound])) for bound in bounds], total)
        return family

    @staticmethod
    def _samples(metric: Collector) -> Iterator[Sample]:
        for family in metric.collect():
            yield from family.samples


def _is_route(sample: Sample) -> bool:
    return sample.labels.get("route") in ROUTES

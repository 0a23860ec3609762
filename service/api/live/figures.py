"""The figures of the live view: totals since the start from the service's own metrics; the page makes rates of them."""

import time
from collections import Counter
from typing import Any

from service.http.start_page import LIVE_PATH
from service.metrics import Metrics

REFUSED = frozenset({"429", "503"})  # statuses


def figures(metrics: Metrics) -> dict[str, Any]:
    """Return the current totals; `latency` are the cumulative buckets of the times of requests, in seconds."""
    requests, refused = 0.0, _total(metrics.refused)
    for sample in _samples(metrics.requests):
        if sample.name.endswith("_total"):
            requests += sample.value
            refused += sample.value if sample.labels["status"] in REFUSED else 0.0
    latency = Counter[str]()
    for sample in _samples(metrics.request_seconds):
        # A stream like this one lasts as long as somebody looks.
        if sample.name.endswith("_bucket") and sample.labels["route"] != LIVE_PATH:
            latency[sample.labels["le"]] += sample.value
    return {
        "time": round(time.monotonic(), 3),
        "requests": requests,
        "refused": refused,
        "in_flight": _total(metrics.requests_in_flight),
        "latency": sorted((float(bound), count) for bound, count in latency.items() if bound != "+Inf"),
        "answered": latency["+Inf"],
        "waiting": _total(metrics.waiting),
        "tokens": _total(metrics.target_tokens),
        "segments": _total(metrics.segments),
        "steps": _total(metrics.step_rows, "_count"),
        "rows": _total(metrics.step_rows, "_sum"),
    }


def _samples(metric: Any) -> list[Any]:
    return [sample for family in metric.collect() for sample in family.samples]


def _total(metric: Any, suffix: str = "") -> float:
    """Return the sum of a metric's series; of a histogram, of those with this suffix."""
    return float(
        sum(
            sample.value
            for sample in _samples(metric)
            if sample.name.endswith(suffix) and not sample.name.endswith("_created")
        )
    )

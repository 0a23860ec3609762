"""A real Prometheus scrapes the service, and fires an alert."""

import pytest

from benchmarks.operations.prometheus import RULES, compress, find_prometheus, running_prometheus
from tests.service.conftest import Service


@pytest.mark.skipif(find_prometheus() is None, reason="Prometheus is not installed (Debian: prometheus)")
def test_prometheus_scrapes_the_service_and_fires_an_alert(service: Service) -> None:
    """Every series of the rules is scraped, in the format that Prometheus asks for; then the target is gone."""
    rules = compress(RULES.read_text("utf-8"), 60)
    with running_prometheus([service.url.removeprefix("http://")], rules, scrape_seconds=0.25) as prometheus:
        assert prometheus.wait(lambda: "attendant_requests_total" in prometheus.series(), 20)
        assert {"attendant_engine_restarts_created", "attendant_memory_bytes"} <= prometheus.series()
        assert prometheus.firing() == set()
    with running_prometheus(["127.0.0.1:9"], rules, scrape_seconds=0.25) as prometheus:
        assert prometheus.wait(lambda: prometheus.firing() == {"AttendantDown"}, 20)

"""A real Prometheus scrapes the service, and fires an alert."""

from collections.abc import Callable

import pytest

from benchmarks.operations.prometheus import RULES, compress, find_prometheus, running_prometheus
from tests.service.conftest import Service
from tests.service.fakes import EchoEngine


@pytest.mark.skipif(find_prometheus() is None, reason="Prometheus is not installed (Debian: prometheus)")
def test_prometheus_scrapes_the_service_and_fires_an_alert(serve_fake: Callable[..., Service]) -> None:
    """Every series of the rules is scraped, in the format that Prometheus asks for; another target is not there.

    The service is the test's own: the errors that other tests cause would fire alerts.
    """
    service = serve_fake(EchoEngine())
    rules = compress(RULES.read_text("utf-8"), 60)
    address = service.url.removeprefix("http://")
    with (
        running_prometheus([address], rules, scrape_seconds=0.25) as prometheus,
        running_prometheus(["127.0.0.1:9"], rules, scrape_seconds=0.25) as alerting,
    ):
        assert prometheus.wait(lambda: "attendant_requests_total" in prometheus.series(), 20)
        assert {"attendant_engine_restarts_created", "attendant_memory_bytes"} <= prometheus.series()
        assert prometheus.firing() == set()
        assert alerting.wait(lambda: alerting.firing() == {"AttendantDown"}, 20)

"""Pictures of measured figures."""

from collections.abc import Callable

from docs.generator.figures import load
from loadtest.charts.timelines import chart


def load_test() -> str:
    """Return the chart of the load test: requests a second and response times, one row per endpoint."""
    return chart(load("load-test").timelines)


PICTURES: dict[str, Callable[[], str]] = {"load-test.svg": load_test}

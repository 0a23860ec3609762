"""The chart of a load test: a polyline per series, all points inside their panel, and no line without data."""

from xml.etree import ElementTree

from loadtest.charts.timelines import BOTTOM, LEFT, PANEL_HEIGHT, PANEL_WIDTH, RIGHT, TOP, chart

SVG = "{http://www.w3.org/2000/svg}"
TIMELINE = [
    {"second": 0.0, "requests_per_s": 120.0, "p50": 10.0, "p95": 30.0, "p99": 44.5},
    {"second": 1.0, "requests_per_s": 0.0},
    {"second": 2.0, "requests_per_s": 140.0, "p50": 11.0, "p95": 31.0, "p99": 50.1},
]


def lines(image: str) -> list[list[tuple[float, float]]]:
    drawn = []
    for line in ElementTree.fromstring(image).iter(f"{SVG}polyline"):
        points = (point.split(",") for point in line.attrib["points"].split())
        drawn.append([(float(x), float(y)) for x, y in points])
    return drawn


def test_chart_draws_rate_and_percentiles_of_every_endpoint() -> None:
    image = chart({"/v1/translate": TIMELINE, "/v1/classify": TIMELINE})
    drawn = lines(image)

    assert [len(line) for line in drawn] == [3, 2, 2, 2] * 2
    for x, y in (point for line in drawn for point in line):
        assert LEFT <= x <= PANEL_WIDTH - RIGHT
        assert TOP <= y <= PANEL_HEIGHT - BOTTOM
    rate = drawn[0]
    assert rate[1][1] == PANEL_HEIGHT - BOTTOM  # zero is at the bottom
    assert rate[2][1] < rate[0][1]  # a higher rate is higher up
    assert "/v1/classify: response time, ms" in image
    assert len(image) < 10_000


def test_chart_without_data_is_valid_and_has_empty_lines() -> None:
    assert lines(chart({"/v1/translate": []})) == [[]] * 4

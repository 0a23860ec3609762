"""Pictures of measured figures."""

from collections.abc import Callable

from docs.generator.figures import load
from docs.generator.svg import Drawing

LEFT, RIGHT, TOP, HEIGHT = 60, 860, 50, 170


def load_test() -> str:
    """Return the load test over time: requests a second, and the latencies p50 and p95."""
    history = load("load-test").history
    drawing = Drawing(920, 500, "Load test: requests a second and latency over time")
    end = max(entry["seconds"] for entry in history)
    panels = (
        ("requests/s", TOP, (("requests_per_s", "requests/s", "#218bff"),)),
        ("latency, ms", TOP + 230, (("p50_ms", "p50", "#1a7f37"), ("p95_ms", "p95", "#cf222e"))),
    )
    for heading, top, curves in panels:
        most = _round_up(max(entry[key] for entry in history for key, *_ in curves))
        drawing.text(LEFT, top - 14, heading, "title", "start")
        for i in range(5):
            y = top + HEIGHT * (1 - i / 4)
            drawing.elements.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>')
            drawing.text(LEFT - 8, y + 4, f"{most * i / 4:g}", align="end")
        for n, (key, name, colour) in enumerate(curves):
            points = [(LEFT + (RIGHT - LEFT) * e["seconds"] / end, top + HEIGHT * (1 - e[key] / most)) for e in history]
            drawing.line(points, colour)
            drawing.line([(LEFT + 110 + 90 * n, top - 18), (LEFT + 134 + 90 * n, top - 18)], colour)
            drawing.text(LEFT + 140 + 90 * n, top - 14, name, align="start")
        for seconds in range(0, int(end) + 1, 10):
            drawing.text(LEFT + (RIGHT - LEFT) * seconds / end, top + HEIGHT + 18, f"{seconds} s")
    return drawing.render()


def _round_up(value: float) -> float:
    """Return the next number of 1, 2, 4, 8 times a power of ten."""
    power = 1.0
    while 8 * power < value:
        power *= 10
    return next(factor * power for factor in (1, 2, 4, 8) if factor * power >= value)


PICTURES: dict[str, Callable[[], str]] = {"load-test.svg": load_test}

"""The chart of a load test: request rate and response time percentiles over time, one row per endpoint."""

from collections.abc import Callable, Mapping, Sequence

from loadtest.charts.style import number, round_up, svg, text
from loadtest.stats import Timeline

PANEL_WIDTH, PANEL_HEIGHT = 400, 150
LEFT, RIGHT, TOP, BOTTOM = 50, 20, 36, 26  # margins of a panel
PERCENTILES = ("p50", "p95", "p99")


def chart(timelines: Mapping[str, Timeline], styled: bool = True) -> str:
    """Return an SVG image; an endpoint without a complete interval has empty panels."""
    body = []
    for row, (endpoint, timeline) in enumerate(timelines.items()):
        rate = _panel(f"{endpoint}: requests/s", timeline, ("requests_per_s",))
        times = _panel(f"{endpoint}: response time, ms", timeline, PERCENTILES)
        body.append(f'<g transform="translate(0 {row * PANEL_HEIGHT})">{rate}</g>')
        body.append(f'<g transform="translate({PANEL_WIDTH} {row * PANEL_HEIGHT})">{times}</g>')
    title = f"Requests a second and response times of {', '.join(timelines)}"
    return svg(2 * PANEL_WIDTH, PANEL_HEIGHT * len(timelines), title, "\n".join(body), styled)


def _panel(title: str, timeline: Timeline, names: Sequence[str]) -> str:
    """Return one diagram: axes with ticks, a line per name, and a legend if there are several lines."""
    highest = round_up(max((entry[name] for entry in timeline for name in names if name in entry), default=1.0))
    last = max((entry["second"] for entry in timeline), default=0.0) or 1.0
    right, bottom = PANEL_WIDTH - RIGHT, PANEL_HEIGHT - BOTTOM

    def x(second: float) -> float:
        return round(LEFT + second / last * (right - LEFT), 1)

    def y(value: float) -> float:
        return round(bottom - value / highest * (bottom - TOP), 1)

    parts = [text(LEFT, 18, title, "title ink")]
    for value in (0, highest / 2, highest):
        parts.append(f'<path class="draw-line" d="M{LEFT} {y(value)}H{right}"/>')
        parts.append(text(LEFT - 6, y(value) + 4, number(value), "small quiet", "end"))
    for second in (0, last):
        anchor = "middle" if second == 0 else "end"
        parts.append(text(x(second), bottom + 16, f"{second:g} s", "small quiet", anchor))
    for i, name in enumerate(names):
        parts.append(_line(timeline, name, i + 1, x, y))
        if len(names) > 1 and any(name in entry for entry in timeline):
            left = (LEFT + right) / 2 + 50 * (i - len(names) / 2) + 8
            parts.append(f'<rect class="series-{i + 1}" x="{left:g}" y="{bottom + 8}" width="8" height="8" rx="2"/>')
            parts.append(text(left + 12, bottom + 16, name, "small quiet"))
    return "".join(parts)


def _line(timeline: Timeline, name: str, series: int, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    points = " ".join(f"{x(entry['second'])},{y(entry[name])}" for entry in timeline if name in entry)
    return f'<polyline class="draw-series-{series}" points="{points}" stroke-width="1.6" stroke-linejoin="round"/>'

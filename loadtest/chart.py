"""The chart of a load test as SVG: request rate and response time percentiles over time, one row per endpoint."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from loadtest.stats import Timeline

PANEL_WIDTH, PANEL_HEIGHT = 400, 150
LEFT, RIGHT, TOP, BOTTOM = 50, 20, 34, 26  # margins of a panel
COLOURS = {"requests_per_s": "#4269d0", "p50": "#3ca951", "p95": "#efb118", "p99": "#ff725c"}
LABELS = {"requests_per_s": "requests/s", "p50": "p50", "p95": "p95", "p99": "p99"}
STEPS = (1, 2, 5, 10)


def chart(timelines: Mapping[str, Timeline]) -> str:
    """Return an SVG image; an endpoint without a complete interval has empty panels."""
    width, height = 2 * PANEL_WIDTH, PANEL_HEIGHT * len(timelines)
    body = []
    for row, (endpoint, timeline) in enumerate(timelines.items()):
        rate = _panel(f"{endpoint}: requests/s", timeline, ("requests_per_s",))
        times = _panel(f"{endpoint}: response time, ms", timeline, ("p50", "p95", "p99"))
        body.append(f'<g transform="translate(0 {row * PANEL_HEIGHT})">{rate}</g>')
        body.append(f'<g transform="translate({PANEL_WIDTH} {row * PANEL_HEIGHT})">{times}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="11">\n<rect width="{width}" height="{height}" fill="white"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _panel(title: str, timeline: Timeline, names: Sequence[str]) -> str:
    """Return one diagram: axes with ticks, a line per name, and a legend if there are several lines."""
    highest = _round_up(max((entry[name] for entry in timeline for name in names if name in entry), default=1.0))
    last = max((entry["second"] for entry in timeline), default=0.0) or 1.0
    right, bottom = PANEL_WIDTH - RIGHT, PANEL_HEIGHT - BOTTOM

    def x(second: float) -> float:
        return round(LEFT + second / last * (right - LEFT), 1)

    def y(value: float) -> float:
        return round(bottom - value / highest * (bottom - TOP), 1)

    parts = [f'<text x="{LEFT}" y="16" font-weight="bold">{escape(title)}</text>']
    for value in (0, highest / 2, highest):
        parts.append(f'<path d="M{LEFT} {y(value)}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:g}</text>')
    for second in (0, last):
        anchor = "middle" if second == 0 else "end"
        parts.append(f'<text x="{x(second)}" y="{bottom + 16}" text-anchor="{anchor}">{second:g} s</text>')
    for i, name in enumerate(names):
        parts.append(_line(timeline, name, x, y))
        if len(names) > 1:
            parts.append(f'<text x="{right - 32 * (len(names) - i - 1)}" y="16" text-anchor="end" ')
            parts.append(f'fill="{COLOURS[name]}">{LABELS[name]}</text>')
    return "".join(parts)


def _line(timeline: Timeline, name: str, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    points = " ".join(f"{x(entry['second'])},{y(entry[name])}" for entry in timeline if name in entry)
    return f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="1.5"/>'


def _round_up(value: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, 50 ... that is not below the value."""
    scale = 1.0
    while scale * STEPS[-1] < value:
        scale *= 10
    return next(scale * step for step in STEPS if scale * step >= value)

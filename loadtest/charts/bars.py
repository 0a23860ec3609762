"""Horizontal bars: a group for each label, a bar in it for each series. A label may have a second line."""

from collections.abc import Mapping, Sequence

from loadtest.charts.style import CHARACTER, SERIES, number, round_up, svg, text

WIDTH = 800
BAR, GAP, GROUP_GAP = 14, 3, 10  # pixels: height of a bar, between bars, between groups
TOP, BOTTOM, EDGE = 34, 26, 12
LEGEND = 20  # height of the line that names the series
LINE = 15  # height of a line of a label
MAX_LABEL = 360  # pixels; a longer label is cut
VALUE = 56  # room for the number behind the longest bar

Groups = Mapping[str, Sequence[float | None]]  # label -> a value of each series, None where there is none


def bars(
    title: str, groups: Groups, series: Sequence[str] = ("",), mark: float | None = None, styled: bool = True
) -> str:
    """Return an SVG image of bars from zero; `mark` is a value to compare with, drawn as a line.

    Raises:
        ValueError: a value is negative, or there are more series than colours.
    """
    if len(series) > SERIES:
        raise ValueError(f"{len(series)} series; a chart has at most {SERIES}: draw several")
    values = [value for group in groups.values() for value in group if value is not None]
    if any(value < 0 for value in values):
        raise ValueError(f"bars begin at zero, and {min(values):g} is below it: draw the absolute values")
    highest = round_up(max([*values, mark or 0.0], default=1.0))
    lines = [line for label in groups for line in label.split("\n")]
    left = EDGE + 8 + min(MAX_LABEL, CHARACTER * max(map(len, lines), default=0))
    width = WIDTH - left - VALUE
    top = TOP + (LEGEND if len(series) > 1 else 0)
    most_lines = max((label.count("\n") + 1 for label in groups), default=1)
    group_height = max(len(series) * (BAR + GAP) - GAP, LINE * most_lines) + GROUP_GAP
    bottom = top + group_height * len(groups)
    parts = [text(EDGE, 20, title, "title ink"), *_legend(series), *_axis(left, width, top, bottom, highest)]
    for at, (label, group) in enumerate(groups.items()):
        parts += _group(label, group, left, top + (at + 0.5) * group_height, width / highest)
    if mark is not None:
        x = left + mark / highest * width
        parts.append(f'<path class="draw-ink" d="M{x:.1f} {top - 2:g}V{bottom:g}" stroke-dasharray="3 3"/>')
    return svg(WIDTH, bottom + BOTTOM, title, "".join(parts), styled)


def _legend(series: Sequence[str]) -> list[str]:
    parts, x = [], float(EDGE)
    for k, name in enumerate(series if len(series) > 1 else ()):
        parts.append(f'<rect class="series-{k + 1}" x="{x:g}" y="{TOP - 3}" width="10" height="10" rx="2"/>')
        parts.append(text(x + 15, TOP + 6, name, "small quiet"))
        x += 35 + CHARACTER * len(name)
    return parts


def _axis(left: float, width: float, top: float, bottom: float, highest: float) -> list[str]:
    parts = []
    for share in (0, 0.5, 1):
        x = left + share * width
        parts.append(f'<path class="draw-line" d="M{x:.1f} {top:g}V{bottom:g}"/>')
        parts.append(text(x, bottom + 15, number(share * highest), "small quiet", "middle"))
    return parts


def _group(label: str, group: Sequence[float | None], left: float, y: float, scale: float) -> list[str]:
    """Return a label and its bars, around a height `y`."""
    most, lines = int(MAX_LABEL / CHARACTER), label.split("\n")
    parts = []
    for k, line in enumerate(lines):
        cut = line if len(line) <= most else f"{line[: most - 1]}…"
        below = y + 4 + LINE * (k - (len(lines) - 1) / 2)
        parts.append(text(left - 8, below, cut, "small quiet" if k else "ink", "end"))
    first = y - (len(group) * (BAR + GAP) - GAP) / 2
    for k, value in enumerate(group):
        if value is None:
            continue
        top, length = first + k * (BAR + GAP), value * scale
        parts.append(
            f'<rect class="series-{k + 1}" x="{left:.1f}" y="{top:g}" width="{max(1.0, length):.1f}" height="{BAR}" '
            'rx="2"/>'
        )
        parts.append(text(left + length + 6, top + BAR - 3, number(value), "small quiet"))
    return parts

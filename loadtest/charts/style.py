"""The style of every chart: colours for a light and for a dark page, text, and the frame of an SVG image.

The colours are those of the service's page (service/http/static/page/page.css). An image follows the reader's light or
dark scheme by itself, wherever it is shown. Elements have classes; those that know no style sheets' media queries draw
the light ones.
"""

from html import escape

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"
STEPS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
SERIES = 4  # colours of lines and bars
CHARACTER = 6.3  # width of one at the size of the text, in pixels; a wide one
# name: light, dark
COLOURS = {
    "ground": ("#ffffff", "#182120"),
    "sunken": ("#eef1f0", "#121a18"),
    "line": ("#d5dcd9", "#2c3936"),
    "ink": ("#14201d", "#e8efec"),
    "quiet": ("#51605b", "#a3b2ad"),
    "series-1": ("#0e7c66", "#5cc9ad"),
    "series-2": ("#b7791f", "#e0a94a"),
    "series-3": ("#3b6fb6", "#86b4ee"),
    "series-4": ("#b0463c", "#f0938a"),
}
FILLED = ("ground", "sunken", "ink", "quiet", *(f"series-{k + 1}" for k in range(SERIES)))
DRAWN = ("line", "ink", "quiet", *(f"series-{k + 1}" for k in range(SERIES)))  # as lines: .draw-ink, ...


def _rules(scheme: int) -> str:
    fills = "".join(f".{name}{{fill:{COLOURS[name][scheme]}}}" for name in FILLED)
    return fills + "".join(f".draw-{name}{{fill:none;stroke:{COLOURS[name][scheme]}}}" for name in DRAWN)


STYLE = (
    f"text{{font:12px {FONT}}}.title{{font-weight:600;font-size:13px}}.small{{font-size:11px}}"
    f"{_rules(0)}@media (prefers-color-scheme:dark){{{_rules(1)}}}"
)


def svg(width: float, height: float, title: str, body: str, styled: bool = True) -> str:
    """Return an SVG image on a ground of its own; without the style where a page has it already."""
    style = f"<style>{STYLE}</style>\n" if styled else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(title)}">\n<title>{escape(title)}</title>\n{style}'
        f'<rect class="ground" width="{width:g}" height="{height:g}" rx="8"/>\n{body}\n</svg>\n'
    )


def text(x: float, y: float, words: str, kind: str = "ink", anchor: str = "start") -> str:
    """Return words at a place; `kind` are classes."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def number(value: float) -> str:
    """Return a number with about three significant digits: 1,234, 12.3, 0.123."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}"


def round_up(value: float) -> float:
    """Return the smallest round number, such as 1.5 or 200, that is not below a positive value; 1 for others."""
    if value <= 0:
        return 1.0
    scale = 1e-9
    while scale * 10 < value:
        scale *= 10
    return next(scale * step for step in STEPS if scale * step >= value * (1 - 1e-9))

"""A few SVG primitives in the style of the charts: boxes, arrows and text, light or dark as the reader's system is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtest.charts.style import COLOURS, svg, text

STRONG = ("#dcece7", "#1d3a33")  # the ground of a box that matters, light and dark


def _rules(scheme: int) -> str:
    def colour(name: str) -> str:
        return COLOURS[name][scheme]

    return (
        f".box{{fill:{colour('sunken')};stroke:{colour('quiet')}}}"
        f".strong{{fill:{STRONG[scheme]};stroke:{colour('series-1')}}}"
        f".group{{fill:none;stroke:{colour('quiet')};stroke-dasharray:4 3}}"
    )


STYLE = f"<style>{_rules(0)}@media (prefers-color-scheme:dark){{{_rules(1)}}}</style>"
HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path class="quiet" d="M0,0 L8,4 L0,8 z"/></marker></defs>'
)


@dataclass
class Drawing:
    """SVG elements on a card of a size in pixels."""

    width: int
    height: int
    title: str
    elements: list[str] = field(default_factory=list)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        lines: Sequence[str],
        kind: str = "box",
        align: str = "middle",
    ) -> None:
        """A rectangle with lines of text, the first one in bold."""
        self.elements.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
        top = y + 19 if kind == "group" else y + height / 2 - 8.5 * (len(lines) - 1) + 4.5
        left = x + width / 2 if align == "middle" else x + 12
        for i, line in enumerate(lines):
            self.text(left, top + 17 * i, line, "title ink" if i == 0 else "small quiet", align)

    def text(self, x: float, y: float, words: str, kind: str = "small quiet", align: str = "middle") -> None:
        """Words at a place; `kind` are classes."""
        self.elements.append(text(x, y, words, kind, align))

    def arrow(self, *points: tuple[float, float], label: str = "", at: tuple[float, float] | None = None) -> None:
        """A line through the points with a head at its end; the label stands at `at`, or above the middle."""
        path = " ".join(f"{x},{y}" for x, y in points)
        self.elements.append(
            f'<polyline class="draw-quiet" points="{path}" stroke-width="1.4" marker-end="url(#head)"/>'
        )
        if label:
            (x0, y0), (x1, y1) = points[0], points[-1]
            x, y = at or ((x0 + x1) / 2, (y0 + y1) / 2 - 6)
            self.text(x, y, label)

    def render(self) -> str:
        """Return the SVG file."""
        return svg(self.width, self.height, self.title, "\n".join([STYLE, HEAD, *self.elements]))

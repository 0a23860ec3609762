"""A few SVG primitives: boxes, arrows and text, readable on light and on dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

FONT = "ui-sans-serif, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
STYLE = f"""\
<style>
text {{ font-family: {FONT}; font-size: 13px; fill: #1f2328; }}
.title {{ font-weight: 600; }}
.small {{ font-size: 11.5px; fill: #57606a; }}
.box {{ fill: #f6f8fa; stroke: #8c959f; }}
.strong {{ fill: #ddf4ff; stroke: #218bff; }}
.group {{ fill: none; stroke: #afb8c1; stroke-dasharray: 4 3; }}
.line {{ fill: none; stroke: #57606a; stroke-width: 1.4; }}
</style>
"""


@dataclass
class Drawing:
    """SVG elements on a white card of a size in pixels."""

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
            self.text(left, top + 17 * i, line, "title" if i == 0 else "small", align)

    def text(self, x: float, y: float, text: str, kind: str = "small", align: str = "middle") -> None:
        self.elements.append(f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{align}">{escape(text)}</text>')

    def arrow(self, *points: tuple[float, float], label: str = "", at: tuple[float, float] | None = None) -> None:
        """A line through the points with a head at its end; the label stands at `at`, or above the middle."""
        path = " ".join(f"{x},{y}" for x, y in points)
        self.elements.append(f'<polyline class="line" points="{path}" marker-end="url(#head)"/>')
        if label:
            (x0, y0), (x1, y1) = points[0], points[-1]
            x, y = at or ((x0 + x1) / 2, (y0 + y1) / 2 - 6)
            self.text(x, y, label)

    def render(self) -> str:
        """Return the SVG file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img">\n<title>{escape(self.title)}</title>\n'
        )
        marker = (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#57606a"/></marker></defs>\n'
        )
        card = f'<rect width="{self.width}" height="{self.height}" rx="8" fill="#ffffff"/>\n'
        return head + STYLE + marker + card + "\n".join(self.elements) + "\n</svg>\n"

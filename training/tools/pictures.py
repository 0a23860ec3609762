"""The style of the pictures of a run: SVG images that are light or dark as the reader's system is.

The colours are those of the service's page. matplotlib writes each of them into the attribute `style` of an element, so
a style sheet in the image replaces them where the reader's scheme is dark.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# light: dark
COLOURS = {
    "#ffffff": "#182120",  # ground
    "#14201d": "#e8efec",  # text
    "#101b18": "#0b1311",  # text on a colour that is neither light nor dark
    "#51605b": "#a3b2ad",  # less important text
    "#d5dcd9": "#2c3936",  # lines of the axes
    "#0e7c66": "#5cc9ad",
    "#b7791f": "#e0a94a",
    "#3b6fb6": "#86b4ee",
    "#b0463c": "#f0938a",
}
GROUND, INK, ON_COLOUR, QUIET, LINE, *SERIES = COLOURS
BRIGHTER = 1.62  # factor from the first colour of SERIES to its dark one: pixels of heat maps have no attribute
STYLE: Any = {
    "figure.facecolor": GROUND, "axes.facecolor": GROUND, "savefig.facecolor": GROUND, "legend.facecolor": GROUND,
    "text.color": INK, "axes.titlecolor": INK, "axes.labelcolor": QUIET, "xtick.color": QUIET, "ytick.color": QUIET,
    "axes.edgecolor": LINE, "grid.color": LINE, "legend.edgecolor": LINE,
    "font.family": "sans-serif", "font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.fontsize": 9, "legend.framealpha": 0.9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.axisbelow": True, "lines.linewidth": 1.6, "lines.markersize": 4, "xtick.major.size": 3,
    "ytick.major.size": 3, "text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "attendant",
    "figure.constrained_layout.h_pad": 0.1, "figure.constrained_layout.w_pad": 0.1,
}  # fmt: skip


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield a figure of a size in inches, and write it as SVG at the end."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    path.write_text(follow_scheme(buffer.getvalue()), "utf-8")


def follow_scheme(image: str) -> str:
    """Return an SVG image of matplotlib with a style sheet that replaces its colours in the dark."""
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in COLOURS.items()
        for kind in ("fill", "stroke")
    )
    sheet = f"<style>@media (prefers-color-scheme:dark){{{rules}image{{filter:brightness({BRIGHTER})}}}}</style>"
    head, end, rest = image.partition("</metadata>")
    return f"{head}{end}\n {sheet}{rest}"


def heat_map(axis: "Axes", values: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> Any:
    """Draw values from 0 to 1 as squares, and return the image for `colour_bar`."""
    image = axis.imshow(values, vmin=0, vmax=1, cmap=_colours(), aspect="auto", interpolation="none")
    axis.set_xticks(range(len(columns)), columns, rotation=90)
    axis.set_yticks(range(len(rows)), rows)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(True)
    return image


def colour_bar(figure: "Figure", image: Any, axes: Any, label: str) -> None:
    """Add the scale of a heat map beside axes."""
    bar: Any = figure.colorbar(image, ax=axes, label=label, shrink=0.7, aspect=24)
    bar.solids.set_rasterized(True)  # else hundreds of paths with seams
    bar.outline.set_edgecolor(LINE)


def text_colour(value: float) -> str:
    """Return the colour of text on a square of a heat map."""
    return INK if value < 0.6 else ON_COLOUR if value < 0.85 else GROUND


def _colours() -> "Colormap":
    """Return shades of one colour, from nothing to all of it: the ground shows through."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    return LinearSegmentedColormap.from_list("attendant", [to_rgba(SERIES[0], 0), to_rgba(SERIES[0], 1)])

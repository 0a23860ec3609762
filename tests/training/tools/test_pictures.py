"""Pictures of runs: SVG that follows the reader's scheme, the same for the same figures, and labels as text."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from loadtest.charts.style import COLOURS as CHART_COLOURS
from training.tools.pictures import COLOURS, ON_COLOUR, SERIES, colour_bar, heat_map, picture

HOSTILE = "</style><script>alert(1)</script> $\\frac{1}{2}$"


def draw(path: Path) -> str:
    with picture(path, 4, 4) as figure:
        line, squares = figure.subplots(2)
        line.plot([0, 1], [0, 1], color=SERIES[0])
        colour_bar(figure, heat_map(squares, np.eye(2), [HOSTILE, "b"], ["c", "d"]), squares, "weight")
    return path.read_text("utf-8")


def test_every_colour_has_one_for_the_dark(tmp_path: Path) -> None:
    image = draw(tmp_path / "a.svg")
    ElementTree.fromstring(image)
    drawn = image.replace(image[image.index("<style>@media") : image.index("</style>", image.index("@media"))], "")
    used = set(re.findall(r"(?:fill|stroke): (#\w{6})", drawn))
    assert used <= COLOURS.keys()
    assert "prefers-color-scheme:dark" in image


def test_colours_are_those_of_the_charts() -> None:
    assert (COLOURS.keys() - {ON_COLOUR}) <= {light for light, _ in CHART_COLOURS.values()}
    assert all(COLOURS[light] == dark for light, dark in CHART_COLOURS.values() if light in COLOURS)


def test_labels_are_text_and_the_file_is_the_same_again(tmp_path: Path) -> None:
    image = draw(tmp_path / "a.svg")
    assert "<script>" not in image
    assert HOSTILE in {one.text for one in ElementTree.fromstring(image).iter("{http://www.w3.org/2000/svg}text")}
    assert draw(tmp_path / "b.svg") == image

"""The style: the colours of the service's page, readable ones, numbers that are short, and round limits of an axis."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtest.charts.style import COLOURS, STYLE, number, round_up, svg, text

PAGE_STYLE = Path(__file__).resolve().parents[3] / "service" / "http" / "static" / "page" / "page.css"
LEAST = {"ink": 7.0, "quiet": 4.5, **{f"series-{k}": 3.0 for k in range(1, 5)}}  # contrasts of WCAG 2.2


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG defines it."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_bars_can_be_told_from_the_ground(scheme: int) -> None:
    for name, least in LEAST.items():
        assert contrast(COLOURS[name][scheme], COLOURS["ground"][scheme]) >= least, name


def test_colours_are_those_of_the_page() -> None:
    light, _, dark = PAGE_STYLE.read_text("utf-8").partition("prefers-color-scheme: dark")
    for name, colours in COLOURS.items():
        for scheme, rules in ((0, light), (1, dark)):
            found = re.search(rf"--{'surface' if name == 'ground' else name}: (#\w+);", rules)
            if found is not None:  # the page has two series
                short = "#" + "".join(2 * digit for digit in found[1][1:]) if len(found[1]) == 4 else found[1]
                assert short == colours[scheme], name


def test_image_follows_the_scheme_and_holds_words_as_text() -> None:
    image = svg(100, 50, "<title>", text(10, 20, "a < b & c"))
    assert [one.text for one in ElementTree.fromstring(image).iter("{http://www.w3.org/2000/svg}text")] == ["a < b & c"]
    assert "prefers-color-scheme:dark" in image
    assert STYLE not in svg(100, 50, "in a page with the style", "", styled=False)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (1234.5, "1,234"), (99.95, "100"), (12.345, "12.3"), (0.123, "0.123"), (0.00001234, "1.2e-05")],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "limit"), [(0, 1), (-3, 1), (1, 1), (1.01, 1.5), (3, 3), (7, 8), (500, 500), (0.0031, 0.004)]
)
def test_axis_ends_at_a_round_number(value: float, limit: float) -> None:
    assert round_up(value) == pytest.approx(limit)

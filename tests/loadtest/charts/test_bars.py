"""Bars: their lengths are in the ratio of the values, labels are text, and what cannot be drawn is refused."""

from xml.etree import ElementTree

import pytest

from loadtest.charts.bars import BAR, bars

SVG = "{http://www.w3.org/2000/svg}"


def drawn(image: str) -> list[tuple[str, float]]:
    """Return the series and the length of every bar."""
    found = ElementTree.fromstring(image).iter(f"{SVG}rect")
    return [(one.attrib["class"], float(one.attrib["width"])) for one in found if one.get("height") == str(BAR)]


def texts(image: str) -> list[str | None]:
    return [one.text for one in ElementTree.fromstring(image).iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_values() -> None:
    image = bars("Rates", {"a": [100.0, None], "b": [50.0, 25.0]}, ("ours", "theirs"))
    (_, long), (_, half), (series, quarter) = drawn(image)
    assert [half, quarter] == pytest.approx([long / 2, long / 4], abs=0.1)
    assert series == "series-2"
    assert {"Rates", "ours", "theirs", "a", "b", "100", "50", "25"} <= set(texts(image))


def test_labels_are_text_and_long_ones_are_cut() -> None:
    found = texts(bars("<b>", {"<script>": [1.0], "x" * 500: [2.0]}))
    assert {"<b>", "<script>"} <= set(found)
    (cut,) = (one for one in found if one and one.startswith("xx"))
    assert len(cut) < 60
    assert cut.endswith("…")


def test_mark_is_within_the_axis() -> None:
    image = bars("Ratios", {"a": [0.5]}, mark=1.0)
    assert "stroke-dasharray" in image
    assert "1" in texts(image)


def test_chart_without_bars_is_valid() -> None:
    assert drawn(bars("Nothing", {})) == []


def test_negative_values_and_too_many_series_are_refused() -> None:
    with pytest.raises(ValueError, match="-1 is below it: draw the absolute values"):
        bars("Rates", {"a": [-1.0]})
    with pytest.raises(ValueError, match="5 series; a chart has at most 4"):
        bars("Rates", {"a": [1.0] * 5}, "abcde")

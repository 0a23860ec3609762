"""Alternation, medians and ratios; the verdict of the soak test."""

import pytest

from benchmarks.common.rounds import Round, alternate, median, ratio, table
from benchmarks.http.soak import growth


def test_sides_alternate_in_reversing_order() -> None:
    order: list[str] = []

    def side(name: str) -> dict[str, float]:
        order.append(name)
        return {"per_second": float(len(order))}

    rounds = alternate({"a": lambda: side("a"), "b": lambda: side("b")}, 2)
    assert order == ["a", "b", "b", "a"]
    assert rounds[1] == {"b": {"per_second": 3.0}, "a": {"per_second": 4.0}}


def test_slow_round_does_not_change_ratio() -> None:
    rounds: list[Round] = [{"a": {"x": 10.0}, "b": {"x": 5.0}}, {"a": {"x": 2.0}, "b": {"x": 1.0}}]
    assert ratio(rounds, "a", "b", "x") == 2
    assert median(rounds, "a", "x") == 6


def test_missing_metric_gives_empty_cell() -> None:
    text = table([{"a": {"x": 1.0, "y": 2.0}, "b": {"x": 3.0}}], {"x": "X", "y": "Y"})
    assert text.splitlines()[2:] == ["| a | 1 | 2 |", "| b | 3 |  |"]


def test_growth_compares_second_minute_with_last() -> None:
    assert growth([9, 9, 100, 100, 70, 110, 110], minute=2) == pytest.approx((100, 110, 0.1))


def test_growth_needs_three_minutes() -> None:
    with pytest.raises(ValueError, match="run longer"):
        growth([1] * 5, minute=2)

"""Sides measured in turn, round after round, and what the rounds say together: medians, and medians of ratios."""

import statistics
import sys
from collections.abc import Callable, Mapping

Round = dict[str, dict[str, float]]  # side -> figure -> value


def alternate(sides: Mapping[str, Callable[[], dict[str, float]]], rounds: int) -> list[Round]:
    """Measure every side once a round, in an order that turns around every time."""
    measured: list[Round] = []
    names = list(sides)
    for i in range(rounds):
        measured.append({name: sides[name]() for name in (names if i % 2 == 0 else reversed(names))})
        told = ", ".join(f"{name} {measured[-1][name]['per_second']:.1f}/s" for name in names)
        sys.stderr.write(f"round {i + 1} of {rounds}: {told}\n")
    return measured


def median(rounds: list[Round], side: str, figure: str) -> float:
    """Of one side, over the rounds."""
    return statistics.median(one[side][figure] for one in rounds)


def ratio(rounds: list[Round], side: str, other: str, figure: str) -> float:
    """Median of the rounds' ratios: a machine that slows down for a round slows down both sides."""
    return statistics.median(one[side][figure] / one[other][figure] for one in rounds)


def table(rounds: list[Round], figures: Mapping[str, str]) -> str:
    """A Markdown table of medians; `figures` maps a figure to its heading, sides without it get an empty cell."""
    lines = ["| | " + " | ".join(figures.values()) + " |", "|---" * (len(figures) + 1) + "|"]
    for side in rounds[0]:
        cells = [f"{median(rounds, side, name):.4g}" if name in rounds[0][side] else "" for name in figures]
        lines.append(f"| {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"

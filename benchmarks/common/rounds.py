"""Measure several sides in turn, round after round; summarise by medians, and by medians of ratios."""

import statistics
import sys
from collections.abc import Callable, Mapping

Round = dict[str, dict[str, float]]  # side -> metric -> value


def alternate(sides: Mapping[str, Callable[[], dict[str, float]]], rounds: int) -> list[Round]:
    """Measure every side once per round; every second round runs in reverse order."""
    measured: list[Round] = []
    names = list(sides)
    for i in range(rounds):
        measured.append({name: sides[name]() for name in (names if i % 2 == 0 else reversed(names))})
        text = ", ".join(f"{name} {measured[-1][name]['per_second']:.1f}/s" for name in names)
        sys.stderr.write(f"round {i + 1} of {rounds}: {text}\n")
    return measured


def median(rounds: list[Round], side: str, metric: str) -> float:
    """Return the median of one side over the rounds."""
    return statistics.median(one[side][metric] for one in rounds)


def ratio(rounds: list[Round], side: str, other: str, metric: str) -> float:
    """Return the median of the rounds' ratios: a machine that slows down in a round slows down both sides."""
    return statistics.median(one[side][metric] / one[other][metric] for one in rounds)


def table(rounds: list[Round], columns: Mapping[str, str]) -> str:
    """Format the medians as a Markdown table; `columns` maps a figure to its heading, missing metrics give empty
    cells."""
    lines = ["| | " + " | ".join(columns.values()) + " |", "|---" * (len(columns) + 1) + "|"]
    for side in rounds[0]:
        cells = [f"{median(rounds, side, name):.4g}" if name in rounds[0][side] else "" for name in columns]
        lines.append(f"| {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"

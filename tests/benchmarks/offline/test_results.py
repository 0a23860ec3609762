"""Results and table of the offline benchmark."""

from typing import cast

import pytest

from benchmarks.offline.results import MeasuredSystem, results_of, table
from benchmarks.offline.system_process import SystemProcess


class Introduced:
    """A process that only says who it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    def description(self) -> dict[str, object]:
        return {"name": self.name, "modes": ["greedy"], "settings": ["s"]}


def measured(kind: str, name: str, answers: list[list[int]], seconds: list[float]) -> MeasuredSystem:
    process = cast(SystemProcess, Introduced(name))
    return MeasuredSystem(kind, [process], {"greedy": (process, "s")}, {"greedy": answers}, {"greedy": seconds})


OURS = measured("attendant", "ours", [[5], [6, 7], [8], [9]], [1.0, 2.0, 4.0])
OTHER = measured("other", "theirs", [[5], [6]], [1.0, 1.0, 4.0])


def test_rates_are_medians_and_ratios_are_medians_of_ratios() -> None:
    ours, theirs = results_of([OURS, OTHER], "greedy")
    assert ours.sentences_per_second == 2.0  # of 4, 2, 1
    assert theirs.sentences_per_second == 2.0  # of 2, 2, 0.5
    assert theirs.ratios == {"ours": 2.0}  # of 4/2, 2/2, 1/0.5
    assert ours.ratios == {"ours": 1.0}


def test_token_rate_includes_end_of_sequence() -> None:
    ours, theirs = results_of([OURS, OTHER], "greedy")
    assert ours.tokens_per_second == pytest.approx(2.0 * 9 / 4)
    assert theirs.tokens_per_second == pytest.approx(2.0 * 2)


def test_answers_are_compared_over_the_common_sentences() -> None:
    ours, theirs = results_of([OURS, OTHER], "greedy")
    assert (ours.equal, theirs.equal, theirs.equal_to) == (1.0, 0.5, "ours")


def test_mode_without_measurements_has_no_results() -> None:
    assert results_of([OURS, OTHER], "beam4") == []


def test_table_has_one_line_per_system() -> None:
    lines = table(results_of([OURS, OTHER], "greedy")).splitlines()
    assert lines[0].split(" | ")[-2:] == ["ours is faster by", "identical answers |"]
    assert lines[3] == "| greedy, 64 at a time | theirs | s | 2 | 2.0 | 4 | 2.00 | 50.0 % with ours |"
    assert {line.count("|") for line in lines} == {9}

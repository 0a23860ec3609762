"""Results of the offline benchmark, and their table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.common.systems import MODES
from benchmarks.offline.system_process import SystemProcess


@dataclass
class MeasuredSystem:
    """A system with one compute type: one process per division of the cores, and the measurements."""

    kind: str
    processes: list[SystemProcess]
    chosen: dict[str, tuple[SystemProcess, str]] = field(default_factory=dict)  # by mode: process and setting
    answers: dict[str, list[list[int]]] = field(default_factory=dict)  # by mode
    seconds: dict[str, list[float]] = field(default_factory=dict)  # by mode, one value per round

    @property
    def name(self) -> str:
        return str(self.processes[0].description()["name"])

    def supports(self, mode: str) -> bool:
        """Whether the system supports the mode."""
        return mode in self.processes[0].description()["modes"]

    def rates(self, mode: str) -> list[float]:
        """Return sentences per second, one value per round."""
        return [len(self.answers[mode]) / seconds for seconds in self.seconds[mode]]


@dataclass(frozen=True)
class Result:
    """A system in a mode.

    `ratios`: rate of each of this project's precisions divided by this system's rate. `equal`: share of answers
    identical
    to the first system's.
    """

    mode: str
    system: str
    setting: str
    sentences: int
    seconds: list[float]
    sentences_per_second: float
    tokens_per_second: float  # target tokens, end-of-sequence included
    ratios: dict[str, float]
    equal: float
    equal_to: str


def results_of(systems: Sequence[MeasuredSystem], mode: str) -> list[Result]:
    """Return the results of all systems measured in a mode."""
    present = [measured for measured in systems if measured.seconds.get(mode)]
    return [_result(measured, present, mode) for measured in present]


def _result(measured: MeasuredSystem, present: list[MeasuredSystem], mode: str) -> Result:
    first, answers, rates = present[0], measured.answers[mode], measured.rates(mode)
    pairs = list(zip(answers, first.answers[mode], strict=False))  # slow systems get fewer of the same sentences
    return Result(
        mode=mode,
        system=measured.name,
        setting=measured.chosen[mode][1],
        sentences=len(answers),
        seconds=measured.seconds[mode],
        sentences_per_second=statistics.median(rates),
        tokens_per_second=statistics.median(rates) * statistics.mean(len(ids) + 1 for ids in answers),
        ratios={
            ours.name: statistics.median(a / b for a, b in zip(ours.rates(mode), rates, strict=True))
            for ours in present
            if ours.kind == "attendant"
        },
        equal=sum(one == other for one, other in pairs) / len(pairs),
        equal_to=first.name,
    )


def table(results: Sequence[Result]) -> str:
    """Format as a Markdown table, one line per result."""
    ours = list(dict.fromkeys(name for result in results for name in result.ratios))
    titles = ["mode", "system", "setting", "sentences", "sentences/s", "target tokens/s"]
    titles += [*(f"{name} is faster by" for name in ours), "identical answers"]
    lines = [titles, ["---"] * len(titles)]
    for result in results:
        lines.append([
            MODES[result.mode],
            result.system,
            result.setting,
            str(result.sentences),
            f"{result.sentences_per_second:.1f}",
            f"{result.tokens_per_second:.0f}",
            *(f"{result.ratios[name]:.2f}" if name in result.ratios else "" for name in ours),
            f"{100 * result.equal:.1f} % with {result.equal_to}",
        ])  # fmt: skip
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)

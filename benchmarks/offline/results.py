"""The figures of the offline benchmark, and the table that shows them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.common.systems import MODES
from benchmarks.offline.system_process import SystemProcess


@dataclass
class Contender:
    """A system and compute type, in one process for every division of the cores, and what was measured of it."""

    kind: str
    processes: list[SystemProcess]
    chosen: dict[str, tuple[SystemProcess, str]] = field(default_factory=dict)  # by mode: process and setting
    answers: dict[str, list[list[int]]] = field(default_factory=dict)  # by mode
    seconds: dict[str, list[float]] = field(default_factory=dict)  # by mode, a round each

    @property
    def name(self) -> str:
        return str(self.processes[0].introduction()["name"])

    def has(self, mode: str) -> bool:
        """Whether it can run the mode."""
        return mode in self.processes[0].introduction()["modes"]

    def rates(self, mode: str) -> list[float]:
        """Sentences a second, round by round."""
        return [len(self.answers[mode]) / seconds for seconds in self.seconds[mode]]


@dataclass(frozen=True)
class Result:
    """A system in a mode. `ratios` are the rates of ours over this system's; `equal` is the share of answers that are
    identical with the first system's."""

    mode: str
    system: str
    setting: str
    sentences: int
    seconds: list[float]
    sentences_per_second: float
    tokens_per_second: float  # of the target, end marks included
    ratios: dict[str, float]
    equal: float
    equal_to: str


def results_of(contenders: Sequence[Contender], mode: str) -> list[Result]:
    """The figures of those that were measured in a mode."""
    present = [contender for contender in contenders if contender.seconds.get(mode)]
    return [_result(contender, present, mode) for contender in present]


def _result(contender: Contender, present: list[Contender], mode: str) -> Result:
    first, answers, rates = present[0], contender.answers[mode], contender.rates(mode)
    pairs = list(zip(answers, first.answers[mode], strict=False))  # a slow system has fewer of the same sentences
    return Result(
        mode=mode,
        system=contender.name,
        setting=contender.chosen[mode][1],
        sentences=len(answers),
        seconds=contender.seconds[mode],
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
    """Markdown, a line for each result."""
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

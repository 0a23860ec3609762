"""The reference beam search: against enumeration, against greedy decoding, and its rules on manual examples."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from tests.training.toys import CPU
from training.config import TransformerConfig
from training.data.tokenizer import BOS, EOS
from training.decoding.beam import BeamHypothesis, BeamOptions, beam_search, search_batch
from training.decoding.greedy import greedy
from training.runs.run import RunFolder

A, B, C = 4, 5, 6  # tokens behind the special tokens 0 to 3
VOCABULARY = 7


class Table:
    """A translator whose next token depends only on the target so far: {prefix: {token: probability}}.

    `default` has the probabilities after all other prefixes.
    """

    config = TransformerConfig(max_target_length=40)

    def __init__(self, table: dict[tuple[int, ...], dict[int, float]], default: dict[int, float]) -> None:
        self.table, self.default = table, default
        self.rows_stepped: list[int] = []

    def encode(self, source: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return {"source_lengths": lengths, "written": torch.zeros(len(lengths), 0, dtype=torch.long)}

    def step(self, token: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        self.rows_stepped.append(len(token))
        written = torch.cat([state["written"], token[:, None]], dim=1)
        logits = torch.full((len(token), VOCABULARY), -1e9)
        for row, (first, *ids) in enumerate(written.tolist()):
            assert first == BOS
            for word, probability in self.table.get(tuple(ids), self.default).items():
                logits[row, word] = math.log(probability)
        return logits, {**state, "written": written}

    def search(self, beam: BeamOptions, limit: int) -> list[BeamHypothesis]:
        return search_batch(self.step, self.encode(torch.zeros(1, 1), torch.ones(1)), [limit], beam)[0]


class Noise:
    """A translator with random next-token probabilities that depend on the whole target so far."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.logits = 2 * torch.randn(211, VOCABULARY, generator=generator)

    def step(self, token: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        memory = (state["memory"] * 31 + token + 1) % 211
        return self.logits[memory], {**state, "memory": memory}

    def start(self) -> dict[str, Tensor]:
        return {"source_lengths": torch.ones(1, dtype=torch.long), "memory": torch.zeros(1, dtype=torch.long)}

    def score(self, ids: tuple[int, ...], penalty: float) -> float:
        state, total = self.start(), 0.0
        for before, after in itertools.pairwise([BOS, *ids]):
            logits, state = self.step(torch.tensor([before]), state)
            total += logits[0].double().log_softmax(-1)[after].item()
        return float(total / len(ids) ** penalty)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("seed", range(4))
def test_wide_beam_equals_exhaustive_search(seed: int, penalty: float) -> None:
    noise, limit = Noise(seed), 4
    words = [token for token in range(VOCABULARY) if token != EOS]
    whole = {
        (*ids, EOS): noise.score((*ids, EOS), penalty)
        for length in range(limit)
        for ids in itertools.product(words, repeat=length)
    }
    best = sorted(whole.items(), key=lambda item: -item[1])[:5]
    found = search_batch(noise.step, noise.start(), [limit], BeamOptions(VOCABULARY**limit, penalty))[0]
    assert [tuple(h.ids) + (EOS,) for h in found[:5]] == [ids for ids, _ in best]
    assert [h.score for h in found[:5]] == pytest.approx([score for _, score in best], abs=1e-12)
    assert [h.finished for h in found] == sorted((h.finished for h in found), reverse=True)  # truncated ones follow


def test_beam_finds_better_hypothesis_than_greedy() -> None:
    table = Table({(): {A: 0.6, B: 0.4}, (A,): {A: 0.5, C: 0.5}, (B,): {EOS: 1.0}}, default={EOS: 1.0})
    assert [h.ids for h in table.search(BeamOptions(1, 0.0), 10)] == [[A, A]]
    found = table.search(BeamOptions(2, 0.0), 10)
    assert [h.ids for h in found] == [[B], [A, A]]
    assert [h.score for h in found] == pytest.approx([math.log(0.4), math.log(0.3)])


def test_ties_go_to_lower_token_then_better_parent() -> None:
    even = Table({}, default={A: 0.25, B: 0.25, C: 0.25, EOS: 0.25})
    # <eos> has the lowest id, so it comes first after the empty prefix, then after A, then after B.
    assert [h.ids for h in even.search(BeamOptions(3, 0.0), 10)] == [[], [A], [B]]
    never = Table({}, default={A: 0.5, B: 0.5})
    assert [h.ids for h in never.search(BeamOptions(3, 1.0), 3)] == [[A, A, A], [B, A, A], [A, B, A]]


def test_length_penalty_decides_between_short_and_long() -> None:
    table = Table({(): {A: 0.5, B: 0.5}, (A,): {EOS: 0.5, C: 0.5}, (A, C): {EOS: 1.0}, (B,): {EOS: 0.45, C: 0.55}},
                  default={EOS: 1.0})  # fmt: skip
    assert table.search(BeamOptions(3, 0.0), 10)[0].ids == [B, C]
    assert [h.ids for h in table.search(BeamOptions(4, 1.0), 10)] == [[B, C], [A, C], [A], [B]]
    scores = [h.score for h in table.search(BeamOptions(4, 1.0), 10)]
    assert scores == pytest.approx([math.log(x) / n for x, n in ((0.275, 3), (0.25, 3), (0.25, 2), (0.225, 2))])


def test_search_stops_when_no_better_hypothesis_can_come() -> None:
    table = Table({(): {EOS: 0.5, A: 0.3, B: 0.2}, (A,): {EOS: 0.9, A: 0.1}, (B,): {C: 1.0}}, default={A: 1.0})
    assert [h.ids for h in table.search(BeamOptions(2, 0.0), 30)] == [[], [A]]
    # log 0.27 is above the running log 0.2 of B C and log 0.03 of A A, and sums only fall.
    assert len(table.rows_stepped) == 2
    # Divided by length: log 0.27 / 2 and log 0.5 are finished, and the best running one has log 0.2 / 2.
    assert [h.ids for h in table.search(BeamOptions(2, 1.0), 30)] == [[A], []]
    assert len(table.rows_stepped) == 2 + 2


def test_early_stopping_ignores_better_running_hypotheses() -> None:
    table = Table({(): {EOS: 0.3, A: 0.7}, (A,): {EOS: 0.1, B: 0.9}, (A, B): {EOS: 1.0}}, default={A: 1.0})
    assert table.search(BeamOptions(2, 1.0), 30)[0].ids == [A, B]
    assert [h.ids for h in table.search(BeamOptions(2, 1.0, early_stopping=True), 30)] == [[], [A]]


def test_truncated_hypotheses_follow_finished_ones_at_the_limit() -> None:
    table = Table({(): {EOS: 0.1, A: 0.9}}, default={A: 0.9, B: 0.1})
    found = table.search(BeamOptions(3, 1.0), 3)
    assert [(h.ids, h.finished) for h in found] == [([], True), ([A, A, A], False), ([A, A, B], False)]
    assert found[0].score < found[1].score
    (only,) = table.search(BeamOptions(1, 1.0), 3)
    assert (only.ids, only.finished) == ([A, A, A], False)
    assert only.score == pytest.approx(math.log(0.9))


def test_eos_outside_the_beam_is_ignored() -> None:
    # <eos> is third of the first four candidates: with two beams both tokens continue.
    table = Table({(): {A: 0.4, B: 0.35, EOS: 0.25}}, default={EOS: 1.0})
    assert [h.ids for h in table.search(BeamOptions(2, 0.0), 10)] == [[A], [B]]


@pytest.mark.parametrize("run", ["toy_translation_run", "toy_recurrent_run"])
def test_beam_of_one_is_greedy_and_results_do_not_depend_on_batch(run: str, request: pytest.FixtureRequest) -> None:
    folder: RunFolder = request.getfixturevalue(run)
    task, model = folder.open(CPU)
    texts = ["one", "red house two green bird", "four four", "", "dog", "five three one red", "never seen"]
    sources = task.source_ids(texts, "b")  # type: ignore[call-arg]
    for penalty in (0.0, 1.0):
        single = beam_search(model, sources, CPU, BeamOptions(1, penalty))
        assert [found[0].ids for found in single] == greedy(model, sources, CPU)
    together = beam_search(model, sources, CPU, BeamOptions(4))
    for source, found in zip(sources, together, strict=True):
        alone = beam_search(model, [source], CPU, BeamOptions(4))[0]
        assert [h.ids for h in alone] == [h.ids for h in found]
        assert [h.score for h in alone] == pytest.approx([h.score for h in found], abs=1e-5)
        assert len({tuple(h.ids) for h in found}) == len(found) == 4


@pytest.mark.parametrize("given", [(0, 1.0), (3, -0.5)])
def test_invalid_beam_options_are_rejected(given: tuple[int, float]) -> None:
    with pytest.raises(ValueError, match=f"beam size is {given[0]}; .* length penalty is {given[1]}; "):
        BeamOptions(*given)

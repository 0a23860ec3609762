"""Greedy decoding and the metrics."""

import numpy as np
import pytest
import sacrebleu
import torch
from torch import Tensor

from tests.training.toys import CPU
from training.config import TransformerConfig
from training.data.corpus import Row
from training.data.tokenizer import BOS, EOS
from training.decoding.greedy import batches_by_length, default_target_length, greedy
from training.metrics import class_probabilities, classification_metrics, multi_label_metrics, translation_metrics
from training.runs.run import RunFolder

ENDLESS = 19  # a source that begins with this token is translated without end


class Speller:
    """A translator that repeats its source, so that swapped rows are noticed."""

    config = TransformerConfig(max_target_length=40)

    def __init__(self) -> None:
        self.rows_stepped = 0

    def encode(self, source: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return {"source": source, "source_lengths": lengths, "at": torch.zeros_like(lengths)}

    def step(self, token: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        source, at = state["source"], state["at"]
        self.rows_stepped += len(at)
        endless = source[:, 0] == ENDLESS

        def word(position: Tensor) -> Tensor:
            ids = source.gather(1, position.clamp(0, source.size(1) - 1)[:, None])[:, 0]
            return torch.where(endless, ENDLESS, ids)

        assert torch.equal(token, torch.where(at == 0, BOS, word(at - 1)))
        return torch.nn.functional.one_hot(word(at), 20).float(), {**state, "at": at + 1}


def test_greedy_stops_at_eos_and_at_the_limit() -> None:
    sources = [[5, 6, EOS], [ENDLESS, EOS], [EOS], [7, 8, 9, 10, EOS], [ENDLESS, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, EOS]]
    model = Speller()
    answers = greedy(model, sources, CPU)
    assert answers == [[5, 6], [ENDLESS] * 20, [], [7, 8, 9, 10], [ENDLESS] * 40]
    assert [default_target_length(len(source), 40) for source in (sources[1], sources[4])] == [20, 40]
    assert model.rows_stepped == 3 + 20 + 1 + 5 + 40  # a finished row costs nothing


def test_batches_cover_all_indices_within_budget() -> None:
    lengths = np.random.default_rng(0).integers(1, 90, 300)
    batches = list(batches_by_length(lengths, budget=400))
    assert sorted(np.concatenate(batches).tolist()) == list(range(300))
    assert all(lengths[indices].max() * len(indices) <= 400 for indices in batches)


def test_translation_does_not_depend_on_batch(toy_translation_run: RunFolder) -> None:
    task, model = toy_translation_run.open(CPU)
    texts = ["one", "red house two green bird", "four four", "", "dog", "five three one red", "never seen"]
    sources = task.source_ids(texts, "b")  # type: ignore[call-arg]
    alone = [greedy(model, [source], CPU)[0] for source in sources]
    assert greedy(model, sources, CPU) == alone
    assert len({tuple(ids) for ids in alone}) == len(alone)


def test_class_probabilities_do_not_depend_on_batch(toy_classification_run: RunFolder) -> None:
    task, model = toy_classification_run.open(CPU)
    sources = task.source_ids(["red", "blue blue cyan violet", "grey black", "yellow red orange red"])  # type: ignore[call-arg]
    together = class_probabilities(model, sources, CPU)
    assert together.sum(1) == pytest.approx(1)
    for row, source in zip(together, sources, strict=True):
        np.testing.assert_allclose(class_probabilities(model, [source], CPU)[0], row, rtol=1e-5)
    assert [task.labels[i] for i in together.argmax(1)] == ["warm", "cold", "none", "warm"]  # type: ignore[union-attr]


def test_classification_metrics_equal_manual_calculation() -> None:
    expected, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    # F1: 2 * 2 / (3 + 2), 2 * 1 / (2 + 2), 2 * 1 / (1 + 2); the fourth class is nowhere.
    metrics = classification_metrics(predicted, expected, classes=4)
    assert metrics == {"accuracy": 66.67, "macro_f1": round(100 * (4 / 5 + 1 / 2 + 2 / 3) / 3, 2)}


def test_translation_metrics_equal_those_of_sacrebleu() -> None:
    hypotheses = ["The cat sat on the mat today .", "a dog barks"]
    references = ["the cat sat on the mat .", "A dog barks loudly , once more"]
    bleu, lowered = (sacrebleu.corpus_bleu(hypotheses, [references], lowercase=low).score for low in (False, True))
    metrics = translation_metrics(hypotheses, references)
    assert metrics["bleu"] == round(bleu, 2) != round(lowered, 2) == metrics["bleu_lowercased"]
    assert metrics["chrf"] == round(sacrebleu.corpus_chrf(hypotheses, [references]).score, 2)
    assert str(metrics["signature"]).startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_text_above_length_limit_counts_as_wrong(
    toy_translation_run: RunFolder, toy_classification_run: RunFolder
) -> None:
    task, model = toy_translation_run.open(CPU)
    long = "house " * 60
    pairs: list[Row] = [("red", "rot"), (long, long)]
    assert task.translate(model, ["red", long, "two"], "b", CPU) == ["rot", "", "zwei"]  # type: ignore[union-attr]
    assert task.evaluate(model, pairs, CPU)["a-b"]["chrf"] < 50  # type: ignore[operator]
    task, model = toy_classification_run.open(CPU)
    rows: list[Row] = [("warm", "red red"), ("warm", "red " * 60), ("cold", "blue"), ("none", "grey " * 60)]
    assert task.evaluate(model, rows, CPU)["labels"]["accuracy"] == 50


def test_metrics_of_several_labels() -> None:
    expected = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], dtype=bool)
    decided = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0]], dtype=bool)
    first, second = 2 * 2 / (3 + 2), 2 * 1 / (1 + 2)  # the third label is neither given nor expected
    assert multi_label_metrics(decided, expected) == {
        "micro_f1": round(100 * 2 * 3 / (4 + 4), 2),
        "macro_f1": round(100 * (first + second) / 2, 2),
        "exact_match": 50.0,
    }
    nothing = np.zeros((2, 3), dtype=bool)
    assert multi_label_metrics(nothing, nothing) == {"micro_f1": 0.0, "macro_f1": 0.0, "exact_match": 100.0}

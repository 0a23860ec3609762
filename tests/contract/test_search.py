"""The engine's beam search finds the same hypotheses as the reference in training/decoding/beam.py."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from export.checks.local_engine import run_requests
from service.artifact import read_artifact
from service.engine.decoding.beam import BeamGroup
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest, EngineResult
from service.models.options import default_target_length
from tests.service.engine.decoding.language_models import EOS, MAX_LENGTH, Model, answers, decode, random_model
from training.data.tokenizer import BOS
from training.data.tokenizer import EOS as REFERENCE_EOS
from training.decoding import beam as reference
from training.models.transformer import State
from training.runs.run import RunFolder

TEXTS = ["one red dog", "two green bird house", "three", "four five one two", "house house", "dog red", "five"]


def hypotheses(answer: EngineResult) -> list[tuple[list[int], bool]]:
    return [(hypothesis.ids, hypothesis.finish_reason == "stop") for hypothesis in answer.hypotheses]


def scores(answer: EngineResult) -> list[float]:
    return [hypothesis.score or 0.0 for hypothesis in answer.hypotheses]


def reference_hypotheses(
    models: list[Model], limits: list[int], beam: reference.BeamOptions
) -> list[list[reference.BeamHypothesis]]:
    """Run the reference search; a row's state is the ids that it has read."""

    def step(token: Tensor, state: State) -> tuple[Tensor, State]:
        history = torch.cat([state["history"], token[:, None]], dim=1)  # (B, T)
        assert bool((history[:, 0] == BOS).all())
        rows = zip(state["model"].tolist(), history[:, 1:].tolist(), strict=True)
        logits = np.array([models[number](ids) for number, ids in rows])
        return torch.from_numpy(logits), state | {"history": history}

    count = len(models)
    empty = torch.zeros((count, 0), dtype=torch.long)
    state = {"source_lengths": torch.ones(count), "history": empty, "model": torch.arange(count)}
    return reference.search_batch(step, state, limits, beam)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("width", [1, 2, 4, 5])
def test_beam_searches_agree_on_random_models(width: int, penalty: float, early: bool) -> None:
    assert EOS == REFERENCE_EOS
    models = [random_model(seed, ending=seed % 4 - 1.0) for seed in range(16)]
    limits = [1 + (5 * seed) % 13 for seed in range(16)]
    options = [
        DecodingOptions(
            limit, beam_size=width, n_best=1 + seed % width, length_penalty=penalty, early_stopping=early
        )
        for seed, limit in enumerate(limits)
    ]  # fmt: skip
    found = answers(decode(BeamGroup(width, EOS, MAX_LENGTH), models, options))
    expected = reference_hypotheses(models, limits, reference.BeamOptions(width, penalty, early_stopping=early))
    for answer, one, best in zip(found, options, expected, strict=True):
        assert hypotheses(answer) == [(h.ids, h.finished) for h in best[: one.n_best]]
        assert scores(answer) == pytest.approx([h.score for h in best[: one.n_best]])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_beam_searches_agree_on_artifact_and_trained_model(
    toy_translation_run: RunFolder, toy_translator: Path, width: int
) -> None:
    task, model = toy_translation_run.open(torch.device("cpu"))
    sources = [ids for target in "ab" for ids in task.source_ids(TEXTS, target)]  # type: ignore[call-arg]
    expected = reference.beam_search(model, sources, torch.device("cpu"), reference.BeamOptions(width))
    limits = [default_target_length(len(ids), 40) for ids in sources]
    requests = [
        EngineRequest(ids, DecodingOptions(limit, beam_size=width, n_best=width, log_probabilities=True))
        for ids, limit in zip(sources, limits, strict=True)
    ]
    engine = TranslateEngine(TranslateGraphs.load(read_artifact(toy_translator), threads=1), rows=9)
    for answer, best in zip(run_requests([engine], requests, rows=9), expected, strict=True):
        assert hypotheses(answer) == [(h.ids, h.finished) for h in best]
        assert scores(answer) == pytest.approx([h.score for h in best], abs=1e-4)

"""The quality gate of int8 and fp16: fp32 and one of them answer the same rows in the service's own engine, and it must
not be worse by more than a bound, in BLEU (translation, each direction) or points of accuracy (classification)."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from export.checks.local_engine import run_requests
from export.graphs.transformer import cache_slices
from export.quantization.calibration import QuantisationPlan, calibrate
from service.artifact import Artifact, Evaluation
from service.engine.cores import available_cores
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from training.config import Recipe
from training.data.corpus import FilterReport, Row, clean, read_files, split_corpus
from training.data.tokenizer import BOS
from training.decoding.greedy import default_target_length
from training.metrics import translation_metrics
from training.tasks import ClassifyTask, Task, TranslateTask

QUALITY_BOUND = 0.3
CALIBRATION_ROWS = 256
DEVELOPMENT_ROWS = 2000  # of a classifier, or of every two directions of a translator
ENGINE_ROWS = 64
FP32_SHARES = (0.0, 0.1, 0.25)  # of the linear layers, tried in this order


class QualityError(RuntimeError):
    """int8 or fp16 loses more quality than the bound allows."""


class Measurement(NamedTuple):
    """One metric of one precision on one part of the data (a direction, or the labels)."""

    metric: str
    value: float
    signature: str = ""


def calibrate_on_training_rows(task: Task, model: nn.Module, data: Path) -> QuantisationPlan:
    """Return a plan with scales for every linear layer, the one with the largest error first, and every KV cache."""
    rows, _ = split_corpus(task.recipe.data, task.recipe.seed, data)
    return calibrate(model, _model_inputs(task, _sample(task, rows, CALIBRATION_ROWS)), cache_slices(model))


def fallback_plans(plan: QuantisationPlan) -> Iterator[QuantisationPlan]:
    """Yield plans to try until one passes the gate: all in int8; then KV caches in fp32; then also more and more of the
    linear layers with the largest error."""
    if plan.caches:
        yield plan
    names = list(plan.linears)
    for in_fp32 in sorted({math.ceil(share * len(names)) for share in FP32_SHARES}):
        yield QuantisationPlan({name: plan.linears[name] for name in names[in_fp32:]}, tables=plan.tables)


def check_quality(fp32: Artifact, other: Artifact, task: Task, data: Path, bound: float) -> list[Evaluation]:
    """Return the metrics of fp32 and of another precision on development rows, and those of the other on the test rows.

    Raises:
        QualityError: the other is worse than fp32 by more than the bound on development rows, in any direction.
    """
    pairs = max(1, len(task.recipe.pairs) // 2)
    rows = _sample(task, split_corpus(task.recipe.data, task.recipe.seed, data)[1], DEVELOPMENT_ROWS * pairs)
    name, precision = " ".join(validation_data(task.recipe)), other.manifest.precision
    before, after = measure(fp32, task, rows), measure(other, task, rows)
    evaluations = []
    for part, exact in before.items():
        found = after[part]
        loss = exact.value - found.value
        if not loss <= bound:
            raise QualityError(
                f"{precision} loses {loss:.2f} {exact.metric} on {name} ({part}: {exact.value:.2f} in fp32, "
                f"{found.value:.2f} in {precision}); allowed is {bound:g}: publish fp32"
                f"{', or raise --bound' if precision == 'int8' else ''}"
            )
        evaluations.append(_evaluation(name, f"gate {part}", exact, "fp32"))
        evaluations.append(_evaluation(name, f"gate {part}", found, precision))
    if task.recipe.data.test:
        name = " ".join(task.recipe.data.test)
        tested = measure(other, task, read_files(task.recipe.data, task.recipe.data.test, data))
        evaluations += [_evaluation(name, f"test {part}", found, precision) for part, found in tested.items()]
    return evaluations


def validation_data(recipe: Recipe) -> list[str]:
    """Return a readable description of the validation rows."""
    return recipe.data.valid or [f"{recipe.data.hold_out} rows held out of training"]


def measure(artifact: Artifact, task: Task, rows: list[Row]) -> dict[str, Measurement]:
    """Return BLEU by direction, or the accuracy, of an artifact's answers in the service's own engine."""
    return _accuracy(artifact, task, rows) if isinstance(task, ClassifyTask) else _bleu(artifact, task, rows)


def _sample(task: Task, rows: list[Row], count: int) -> list[Row]:
    rows = clean(rows, FilterReport(), distinct=False)
    order = np.random.default_rng(task.recipe.seed).permutation(len(rows))[:count]
    return [rows[i] for i in order]


def _model_inputs(task: Task, rows: list[Row]) -> Iterator[tuple[Tensor, ...]]:
    """Yield the arguments of `forward` for each row in every direction, one row at a time and so without padding."""
    config = task.recipe.model
    if isinstance(task, ClassifyTask):
        for ids in task.source_ids([row[task.recipe.data.columns.index("text")] for row in rows]):
            source = ids[: config.max_source_length]
            yield torch.tensor([source]), torch.tensor([len(source)])
        return
    for source_language, target_language in task.recipe.pairs:
        texts, references = task.parallel_texts(rows, source_language, target_language)
        targets = task.codec.target_ids(references)
        for source_ids, target_ids in zip(task.source_ids(texts, target_language), targets, strict=True):
            source, target = source_ids[: config.max_source_length], [BOS, *target_ids][: config.max_target_length]
            yield torch.tensor([source]), torch.tensor([len(source)]), torch.tensor([target])


def _evaluation(data: str, split: str, found: Measurement, precision: str) -> Evaluation:
    return Evaluation(
        data=data,
        split=split,
        metric=found.metric,
        value=found.value,
        signature=found.signature,
        precision=precision,
    )


def _accuracy(artifact: Artifact, task: ClassifyTask, rows: list[Row]) -> dict[str, Measurement]:
    engine = ClassifyEngine(artifact, Session(artifact.graph("classify"), available_cores()))

    def classify(sources: list[list[int]]) -> np.ndarray:
        results = run_requests([engine], [EngineRequest(ids) for ids in sources], ENGINE_ROWS)
        return np.array([result.probabilities for result in results])  # (N, labels)

    return {"labels": Measurement(task.metric, float(task.evaluate_with(rows, classify)[task.metric]))}


def _bleu(artifact: Artifact, task: TranslateTask, rows: list[Row]) -> dict[str, Measurement]:
    engine = TranslateEngine(TranslateGraphs.load(artifact, available_cores()), ENGINE_ROWS)
    limit = task.recipe.model.max_target_length

    def translate(sources: list[list[int]]) -> list[list[int]]:
        lengths = [default_target_length(len(ids), limit) for ids in sources]
        requests = [EngineRequest(ids, DecodingOptions(max_length=n)) for ids, n in zip(sources, lengths, strict=True)]
        return [result.ids for result in run_requests([engine], requests, ENGINE_ROWS)]

    found: dict[str, Measurement] = {}
    for source, target in task.recipe.pairs:
        texts, references = task.parallel_texts(rows, source, target)
        if not texts:
            continue
        scores = translation_metrics(task.translate_with(texts, target, translate), references)
        found[f"{source}-{target}"] = Measurement("bleu", float(scores["bleu"]), str(scores["signature"]))
    return found

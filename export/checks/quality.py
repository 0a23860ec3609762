"""The quality gate of int8: both precisions answer the same rows through the service's own engine, and are compared."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.checks.parity import serve
from export.graphs.transformer import cache_origins
from export.quantization.weights import Scales, calibrate
from service.artifact import Artifact, Evaluation
from service.engine.cores import available_cores
from service.engine.decoding.options import DecodingOptions
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.types import EngineRequest
from training.config import Recipe
from training.data.corpus import FilterReport, Row, clean, read_corpus, split_corpus
from training.data.tokenizer import BOS
from training.decoding.greedy import default_target_length
from training.metrics import translation_figures
from training.tasks import ClassifyTask, Task, TranslateTask

BOUND = 0.3
CALIBRATION_ROWS = 256
DEVELOPMENT_ROWS = 2000  # of a classifier, or of every two directions of a translator
ROWS = 64
FALLBACKS = (0.0, 0.1, 0.25)  # shares of the linear maps that stay in fp32


class QualityError(RuntimeError):
    """int8 loses more than it may."""


def calibrated(task: Task, model: nn.Module, data: Path) -> Scales:
    """Scales, from training rows, for every linear map, the one that int8 hurts most first; and for every cache."""
    rows, _ = split_corpus(task.recipe.data, task.recipe.seed, data)
    return calibrate(model, _inputs(task, _drawn(task, rows, CALIBRATION_ROWS)), cache_origins(model))


def attempts(scales: Scales) -> Iterator[Scales]:
    """All in int8; then, should the gate refuse, caches in fp32; then the most sensitive maps too, and more of them."""
    if scales.caches:
        yield scales
    names = list(scales.maps)
    for kept in sorted({math.ceil(share * len(names)) for share in FALLBACKS}):
        yield Scales({name: scales.maps[name] for name in names[kept:]}, tables=scales.tables)


def _drawn(task: Task, rows: list[Row], count: int) -> list[Row]:
    rows = clean(rows, FilterReport(), distinct=False)
    order = np.random.default_rng(task.recipe.seed).permutation(len(rows))[:count]
    return [rows[i] for i in order]


def _inputs(task: Task, rows: list[Row]) -> Iterator[tuple[Tensor, ...]]:
    """What `forward` reads for each row, alone and so without padding, in every direction."""
    config = task.recipe.model
    if isinstance(task, ClassifyTask):
        for ids in task.source_ids([row[task.recipe.data.columns.index("text")] for row in rows]):
            yield (
                torch.tensor([ids[: config.max_source_length]]),
                torch.tensor([min(len(ids), config.max_source_length)]),
            )
        return
    for source, target in task.recipe.pairs:
        texts, answers = task.oriented(rows, source, target)
        for x, y in zip(task.source_ids(texts, target), task.codec.target_ids(answers), strict=True):
            ids, given = x[: config.max_source_length], [BOS, *y][: config.max_target_length]
            yield torch.tensor([ids]), torch.tensor([len(ids)]), torch.tensor([given])


def compare(fp32: Artifact, int8: Artifact, task: Task, data: Path, bound: float) -> list[Evaluation]:
    """The figures of both precisions on the development rows, and int8's on the test rows.

    Raises:
        QualityError: int8 is worse than fp32 by more than the bound on development rows, in any direction.
    """
    pairs = max(1, len(task.recipe.pairs) // 2)
    rows = _drawn(task, split_corpus(task.recipe.data, task.recipe.seed, data)[1], DEVELOPMENT_ROWS * pairs)
    name = " ".join(validation(task.recipe))
    before, after = _figures(fp32, task, rows), _figures(int8, task, rows)
    measured = []
    for part, (metric, value, signature) in before.items():
        found = after[part][1]
        if not value - found <= bound:
            raise QualityError(
                f"int8 loses {value - found:.2f} {metric} on {name} ({part}: {value:.2f} in fp32, {found:.2f} in "
                f"int8); allowed is {bound:g}: publish fp32, or raise --bound"
            )
        for precision, figure in (("fp32", value), ("int8", found)):
            measured.append(_evaluation(name, f"gate {part}", metric, figure, signature, precision))
    if task.recipe.data.test:
        name = " ".join(task.recipe.data.test)
        tested = _figures(int8, task, read_corpus(task.recipe.data.test, task.recipe.data.columns, data))
        measured += [_evaluation(name, f"test {part}", *figure, "int8") for part, figure in tested.items()]
    return measured


def validation(recipe: Recipe) -> list[str]:
    """What the validation rows are, for a reader."""
    return recipe.data.valid or [f"{recipe.data.hold_out} rows held out of training"]


def _evaluation(data: str, split: str, metric: str, value: float, signature: str, precision: str) -> Evaluation:
    return Evaluation(
        data=data, split=split, metric=metric, value=value, signature=signature, precision=precision
    )  # fmt: skip


Measured = dict[str, tuple[str, float, str]]  # part -> metric, value, signature


def _figures(artifact: Artifact, task: Task, rows: list[Row]) -> Measured:
    """BLEU of each direction, or accuracy, as the service's own engine answers."""
    return _accuracy(artifact, task, rows) if isinstance(task, ClassifyTask) else _bleu(artifact, task, rows)


def _accuracy(artifact: Artifact, task: ClassifyTask, rows: list[Row]) -> Measured:
    engine = ClassifyEngine(artifact, Session(artifact.graph("classify"), available_cores()))

    def predict(sources: list[list[int]]) -> np.ndarray:
        answers = serve([engine], [EngineRequest(ids) for ids in sources], ROWS)
        return np.array([np.argmax(answer.probabilities) for answer in answers])

    return {"labels": ("accuracy", float(task.figures(rows, predict)["accuracy"]), "")}


def _bleu(artifact: Artifact, task: TranslateTask, rows: list[Row]) -> Measured:
    engine = TranslateEngine(TranslateGraphs.load(artifact, available_cores()), ROWS)
    limit = task.recipe.model.max_target_length

    def answer(sources: list[list[int]]) -> list[list[int]]:
        lengths = [default_target_length(len(ids), limit) for ids in sources]
        requests = [EngineRequest(ids, DecodingOptions(max_length=n)) for ids, n in zip(sources, lengths, strict=True)]
        return [one.ids for one in serve([engine], requests, ROWS)]

    found: Measured = {}
    for source, target in task.recipe.pairs:
        texts, references = task.oriented(rows, source, target)
        if not texts:
            continue
        figures = translation_figures(task.fitting(texts, target, answer), references)
        found[f"{source}-{target}"] = ("bleu", float(figures["bleu"]), str(figures["signature"]))
    return found

"""The quality gate of int8 for an imported checkpoint: calibration and check on the user's rows, or on built-in texts.

With rows that have references (translations or labels), the gate is that of an export: int8 may lose at most a bound of
BLEU or accuracy on rows that it was not calibrated on. Without any, fp32 gives the reference: int8 must find its
answers almost as probable as fp32 does.

Shapes: N texts, L labels, T target length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.checks.local_engine import run_requests
from export.checks.quality_gate import CALIBRATION_ROWS, DEVELOPMENT_ROWS, ENGINE_ROWS, QualityError
from export.checks.sample_texts import texts_of
from export.graphs.transformer import cache_slices
from export.quantization.calibration import QuantisationPlan, calibrate
from service.artifact import DECIDED, Artifact, Direction, Evaluation
from service.engine.cores import available_cores
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat, pad
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from service.text.tokenizer import TextCodec
from training.data.corpus import CorpusError, read_corpus
from training.decoding.greedy import default_target_length
from training.metrics import translation_metrics

LOSS_BOUND = 0.05  # natural log-probability of a token or a label that int8 may lose without references
AGREEMENT = "log-probability of the fp32 answers"
MIN_ROWS = 20
MAX_TOKENS = 128  # generated for a text without a reference


@dataclass(frozen=True)
class Part:
    """Texts of one direction, or of a classifier, with their translations or labels if these are known."""

    texts: list[str]
    references: list[str] | None = None
    direction: Direction | None = None

    @property
    def name(self) -> str:
        return "labels" if self.direction is None else f"{self.direction.source}-{self.direction.target}"

    @property
    def target_prefix(self) -> list[int]:
        """The ids that each translation begins with."""
        return self.direction.target_prefix if self.direction else []

    def take(self, chosen: Sequence[int]) -> "Part":
        """Return some of the texts, with their references."""
        references = self.references and [self.references[i] for i in chosen]
        return Part([self.texts[i] for i in chosen], references, self.direction)


@dataclass(frozen=True)
class GateData:
    """What int8 is calibrated on and checked with, and what to call it."""

    name: str
    calibration: list[Part]
    development: list[Part]


def built_in_data(texts: Sequence[str], directions: Sequence[Direction]) -> GateData:
    """Return texts without references, for calibration and check alike."""
    count = len(directions)
    parts = [Part(list(texts_of(texts, i, count)), None, direction) for i, direction in enumerate(directions)]
    parts = parts or [Part(list(texts))]
    return GateData(f"{len(texts)} texts without references", parts, parts)


def read_gate_data(file: Path, directions: Sequence[Direction], labels: Sequence[str]) -> GateData:
    """Read rows with references: the columns are two languages of `directions`, or label and text.

    Raises:
        CorpusError: the file cannot be used; there are too few rows, or labels that the model does not have.
    """
    columns = sorted({language for d in directions for language in (d.source, d.target)}) or ["label", "text"]
    name, _, own = file.name.partition(" as ")
    given = [column.strip() for column in own.split(",")] if own else columns
    rows = read_corpus([file.name], columns, file.parent)
    order = np.random.default_rng(1).permutation(len(rows)).tolist()
    calibration, development = [], []
    parts: Sequence[Direction | None] = directions or [None]
    for direction in parts:
        text, reference = (direction.source, direction.target) if direction else ("text", "label")
        if not {text, reference} <= set(given):
            continue
        i, j = columns.index(text), columns.index(reference)
        chosen = [rows[k] for k in order if rows[k][i].strip() and rows[k][j].strip()]
        if direction is None and (unknown := sorted({row[j].strip() for row in chosen} - set(labels))):
            raise CorpusError(f"{file}: the label {unknown[0]!r} is not one of the model's: {', '.join(labels)[:200]}")
        if len(chosen) < MIN_ROWS:
            raise CorpusError(f"{file}: {len(chosen)} rows with {text} and {reference}; int8 needs {MIN_ROWS} or more")
        part = Part([row[i].strip() for row in chosen], [row[j].strip() for row in chosen], direction)
        first = min(CALIBRATION_ROWS, len(chosen) // 2)
        calibration.append(part.take(range(first)))
        development.append(part.take(range(first, min(len(chosen), first + DEVELOPMENT_ROWS))))
    if not calibration:
        raise CorpusError(
            f"{file}: none of the model's directions has both columns; the columns are {', '.join(given)}"
        )
    return GateData(name, calibration, development)


class Answers:
    """The answers of an artifact, by the service's own engine, to texts within its limit."""

    def __init__(self, artifact: Artifact) -> None:
        self.manifest = artifact.manifest
        self.codec = TextCodec(artifact.tokenizer, artifact.manifest)
        cores = available_cores()
        self._translates = artifact.manifest.task == "translate"
        if self._translates:
            self._engine: TranslateEngine | ClassifyEngine = TranslateEngine(
                TranslateGraphs.load(artifact, cores), ENGINE_ROWS
            )
            self._score = Session(artifact.graph("score"), cores)
        else:
            self._engine = ClassifyEngine(artifact, Session(artifact.graph("classify"), cores))

    def sources(self, part: Part) -> list[list[int]]:
        """Return the ids of the texts, cut to the model's limit."""
        limit, special = self.manifest.limits.source_length, self.manifest.special_tokens
        if part.direction is not None:
            encoded = self.codec.encode(part.texts, part.direction.prefix, self.manifest.source_eos)
        else:
            encoded = self.codec.encode(part.texts, [special.bos], self.manifest.append_eos)
        return [ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]] for ids in encoded]

    def translate(self, sources: list[list[int]], part: Part) -> list[list[int]]:
        """Return the greedy translations of a part's sources."""
        limit = min(MAX_TOKENS, self.manifest.limits.target_length - 1)
        lengths = [default_target_length(len(ids), limit) for ids in sources]
        prefix = tuple(part.target_prefix)
        requests = [
            EngineRequest(ids, DecodingOptions(max_length=n, prefix=prefix))
            for ids, n in zip(sources, lengths, strict=True)
        ]
        return [result.ids for result in run_requests([self._engine], requests, ENGINE_ROWS)]

    def classify(self, sources: list[list[int]]) -> np.ndarray:
        """Return the probabilities of the labels: (N, L)."""
        results = run_requests([self._engine], [EngineRequest(ids) for ids in sources], ENGINE_ROWS)
        return np.array([result.probabilities for result in results])

    def log_probability(self, sources: list[list[int]], targets: list[list[int]]) -> float:
        """Return the mean log-probability of the tokens of targets, the end token left out."""
        special, total, tokens = self.manifest.special_tokens, 0.0, 0
        ordered = sorted((i for i in range(len(sources)) if targets[i]), key=lambda i: len(sources[i]))
        for start in range(0, len(ordered), ENGINE_ROWS):
            rows = ordered[start : start + ENGINE_ROWS]
            inputs = SourceFormat.of(self._score, special.pad).arrays([sources[i] for i in rows])
            labels = pad([targets[i] for i in rows], special.pad)["source"]  # (N, T)
            inputs["target"] = pad([[special.bos, *targets[i][:-1]] for i in rows], special.pad)["source"]
            found = self._score.run(inputs | {"label": labels})["log_probability"]
            real = np.arange(labels.shape[1]) < np.array([[len(targets[i])] for i in rows])
            total, tokens = total + float(found[real].sum()), tokens + int(real.sum())
        return total / max(tokens, 1)


def calibrate_import(model: nn.Module, fp32: Artifact, data: GateData) -> QuantisationPlan:
    """Return the scales of an imported model, from its calibration texts and their references or own translations."""
    return calibrate(model, _model_inputs(Answers(fp32), data.calibration), cache_slices(model))


def _model_inputs(answers: Answers, parts: list[Part]) -> Iterator[tuple[Tensor, ...]]:
    """Yield the arguments of `forward`, one text at a time and so without padding."""
    bos, limit = answers.manifest.special_tokens.bos, answers.manifest.limits.target_length
    for part in parts:
        sources = answers.sources(part)
        targets: list[list[int]] | list[None] = [None] * len(sources)
        if part.direction is not None:
            known = [[*part.target_prefix, *answers.codec.target_ids(text)] for text in part.references or []]
            targets = answers.translate(sources, part) if part.references is None else known
        for source, target in zip(sources, targets, strict=True):
            inputs = torch.tensor([source]), torch.tensor([len(source)])
            yield inputs if target is None else (*inputs, torch.tensor([[bos, *target][:limit]]))


def check_import(fp32: Artifact, int8: Artifact, data: GateData, bound: float) -> list[Evaluation]:
    """Return the metrics of both precisions.

    Raises:
        QualityError: int8 is worse than fp32 by more than the bound.
    """
    before, after = Answers(fp32), Answers(int8)
    evaluations = []
    for part in data.development:
        metric, exact, quantised, signature = _compare(before, after, part)
        allowed = LOSS_BOUND if part.references is None else bound
        if not exact - quantised <= allowed:
            remedy = "raise --bound" if part.references else "give rows with references: --data"
            raise QualityError(
                f"int8 loses {exact - quantised:.3f} of {metric} on {data.name} ({part.name}: {exact:.3f} in fp32, "
                f"{quantised:.3f} in int8); allowed is {allowed:g}: publish fp32, or {remedy}"
            )
        evaluations += [
            Evaluation(data=data.name, split=f"gate {part.name}", metric=metric, value=value, signature=signature,
                       precision=precision)
            for value, precision in ((exact, "fp32"), (quantised, "int8"))
        ]  # fmt: skip
    return evaluations


def _compare(fp32: Answers, int8: Answers, part: Part) -> tuple[str, float, float, str]:
    """Return the metric's name, its value in both precisions, and its signature."""
    sources = fp32.sources(part)
    if part.direction is None:
        exact, quantised = fp32.classify(sources), int8.classify(sources)
        if part.references is None:
            several = fp32.manifest.multi_label
            decided = exact >= DECIDED if several else exact == exact.max(-1, keepdims=True)
            return AGREEMENT, _likelihood(exact, decided, several), _likelihood(quantised, decided, several), ""
        expected = [fp32.manifest.labels.index(label) for label in part.references]
        accuracies = [100 * float((p.argmax(-1) == expected).mean()) for p in (exact, quantised)]
        return "accuracy", accuracies[0], accuracies[1], ""
    answers = fp32.translate(sources, part)
    if part.references is None:
        return AGREEMENT, fp32.log_probability(sources, answers), int8.log_probability(sources, answers), ""
    found = answers, int8.translate(sources, part)
    scores = [translation_metrics(fp32.codec.decode(ids), part.references) for ids in found]
    return "bleu", float(scores[0]["bleu"]), float(scores[1]["bleu"]), str(scores[0]["signature"])


def _likelihood(probabilities: np.ndarray, decided: np.ndarray, multi_label: bool) -> float:
    """Return the mean log-probability of decisions (N, L); of several labels, those for and against alike."""
    of = np.where(decided, probabilities, 1 - probabilities) if multi_label else probabilities[decided]
    return float(np.log(np.maximum(of, 1e-12)).mean())

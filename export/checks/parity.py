"""The parity check: an artifact must give the trained model's answers, or it is not published.

Compared on real sentences, at every decoding step: logits without a cache (teacher forcing) = logits with torch's cache
= logits of the ONNX graphs. Then greedy ids: torch = the service's own worker with continuous batching.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from export.checks.local_engine import DEFAULT_ROWS, run_requests
from service.artifact import Artifact, Parity
from service.engine.cores import available_cores
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat, pad
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from training.data.corpus import CorpusError, FilterReport, Row, clean, read_files
from training.data.tokenizer import BOS, EOS, PAD
from training.decoding.greedy import default_target_length, greedy
from training.metrics import class_probabilities
from training.models import Translator
from training.tasks import ClassifyTask, Task


class ParityError(RuntimeError):
    """The graphs do not compute the same as the trained model."""


@dataclass
class Differences:
    """The largest absolute difference found so far, by the name of what was compared."""

    tolerance: float
    largest: dict[str, float] = field(default_factory=dict)

    def compare(self, name: str, one: np.ndarray, other: np.ndarray) -> None:
        """Compare two arrays and record their largest difference.

        Raises:
            ParityError: they differ by more than the tolerance, or one of them holds NaN.
        """
        difference = float(np.abs(one - other).max(initial=0.0))
        if not difference <= self.tolerance:
            raise ParityError(
                f"{name} differs from the trained model by {difference:.2e}, allowed is {self.tolerance:g}"
            )
        self.largest[name] = max(difference, self.largest.get(name, 0.0))


def parity_sources(task: Task, data: Path, count: int) -> list[list[int]]:
    """Choose up to `count` sources, special tokens included, from validation, test or training rows.

    Every direction gets the same number of them.

    Raises:
        CorpusError: no row is within the model's limit.
    """
    files = task.recipe.data.valid or task.recipe.data.test or task.recipe.data.train
    rows = clean(read_files(task.recipe.data, files, data), FilterReport())
    order = np.random.default_rng(task.recipe.seed).permutation(len(rows))
    limit, chosen = task.recipe.model.max_source_length, list[list[int]]()
    directions = _sources_by_direction(task, [rows[i] for i in order])
    for sources in directions:
        fitting = [ids for ids in sources if len(ids) <= limit]
        chosen += fitting[: -(-count // len(directions))]
    if not chosen:
        raise CorpusError(f"{' '.join(files)}: no text is within the model's {limit} tokens, parity cannot be checked")
    return chosen[:count]


def _sources_by_direction(task: Task, rows: list[Row]) -> list[list[list[int]]]:
    if isinstance(task, ClassifyTask):
        return [task.source_ids([row[task.recipe.data.columns.index("text")] for row in rows])]
    return [
        task.source_ids(task.parallel_texts(rows, source, target)[0], target) for source, target in task.recipe.pairs
    ]


def verify_translator(model: Translator, artifact: Artifact, sources: list[list[int]], tolerance: float) -> Parity:
    """Check parity of a translator on sources that include their special tokens.

    Raises:
        ParityError: a difference exceeds the tolerance, or greedy ids differ.
    """
    differences = Differences(tolerance)
    engine = TranslateEngine(TranslateGraphs.load(artifact, available_cores()), DEFAULT_ROWS)
    score = Session(artifact.graph("score"), available_cores())
    for batch in _batches(sources):
        _compare_steps(model, engine, batch, differences)
        _compare_scores(model, score, batch, differences)
    expected = greedy(model, sources, torch.device("cpu"))
    limits = [default_target_length(len(ids), model.config.max_target_length) for ids in sources]
    requests = [
        EngineRequest(ids, DecodingOptions(max_length=limit)) for ids, limit in zip(sources, limits, strict=True)
    ]
    found = [result.ids for result in run_requests([engine], requests)]
    wrong = sum(a != b for a, b in zip(expected, found, strict=True))
    if wrong:
        raise ParityError(f"greedy ids of {wrong} of {len(sources)} sentences differ from the trained model's")
    return Parity(
        sentences=len(sources),
        cached=differences.largest["cached logits"],
        onnx=differences.largest["ONNX logits"],
        tolerance=tolerance,
    )


def _batches(sources: list[list[int]]) -> Iterator[list[list[int]]]:
    ordered = sorted(sources, key=len)
    for start in range(0, len(ordered), DEFAULT_ROWS):
        yield ordered[start : start + DEFAULT_ROWS]


@torch.inference_mode()
def _compare_steps(
    model: Translator, engine: TranslateEngine, sources: list[list[int]], differences: Differences
) -> None:
    """Decode greedily with torch's cache, give the ONNX graphs the same tokens, then compare with no cache at all."""
    arrays = {name: torch.from_numpy(array) for name, array in pad(sources, PAD).items()}
    source, lengths = arrays["source"], arrays["source_length"].long()
    state = model.encode(source, lengths)
    engine.clear()
    engine.join([EngineRequest(ids) for ids in sources])
    target = torch.full((len(sources), 1), BOS)
    live = np.ones(len(sources), dtype=bool)
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    limit = default_target_length(source.size(1), model.config.max_target_length)
    while live.any() and len(steps) < limit:
        logits, state = model.step(target[:, -1], state)  # (B, V)
        engine.token[: len(sources)] = target[:, -1].numpy()
        engine.position[: len(sources)] = len(steps)
        differences.compare("ONNX logits", engine.forward().all()[live], logits.numpy()[live])
        steps.append((live.copy(), logits.numpy()))
        token = logits.argmax(-1)
        live &= token.numpy() != EOS
        target = torch.cat([target, token[:, None]], dim=1)  # (B, T+1)
    uncached = model(source, lengths, target[:, :-1]).numpy()  # (B, T, V)
    for position, (rows, cached) in enumerate(steps):
        differences.compare("cached logits", cached[rows], uncached[rows, position])


@torch.inference_mode()
def _compare_scores(model: Translator, score: Session, sources: list[list[int]], differences: Differences) -> None:
    """Compare the score graph with teacher forcing; the sources serve as targets of different lengths."""
    inputs = SourceFormat.of(score, PAD).arrays(sources)
    targets = pad([[BOS, *ids[: model.config.max_target_length - 1]] for ids in sources], PAD)["source"]
    labels = np.roll(targets, -1, axis=1)
    found = score.run(inputs | {"target": targets, "label": labels})["log_probability"]
    source, lengths = torch.from_numpy(inputs["source"]), torch.from_numpy(inputs["source_length"]).long()
    logits = model(source, lengths, torch.from_numpy(targets))  # (B, T, V)
    expected = logits.log_softmax(-1).gather(-1, torch.from_numpy(labels)[..., None])[..., 0]  # (B, T)
    real = targets != PAD
    differences.compare("score", found[real], expected.numpy()[real])


def verify_classifier(model: nn.Module, artifact: Artifact, sources: list[list[int]], tolerance: float) -> Parity:
    """Check parity of a classifier: its probabilities, computed by the service's own worker.

    Raises:
        ParityError: a probability differs by more than the tolerance, or a text gets a different label.
    """
    differences = Differences(tolerance)
    expected = class_probabilities(model, sources, torch.device("cpu"))
    graph = Session(artifact.graph("classify"), available_cores())
    results = run_requests([ClassifyEngine(artifact, graph)], [EngineRequest(ids) for ids in sources])
    found = np.array([result.probabilities for result in results])
    differences.compare("probabilities", found, expected)
    # Of several labels each is decided for itself, so probabilities that are equal decide alike.
    wrong = 0 if artifact.manifest.multi_label else int((found.argmax(-1) != expected.argmax(-1)).sum())
    if wrong:
        raise ParityError(f"labels of {wrong} of {len(sources)} texts differ from the trained model's")
    largest = differences.largest["probabilities"]
    return Parity(sentences=len(sources), cached=0.0, onnx=largest, tolerance=tolerance)

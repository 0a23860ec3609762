"""The parity proof: an artifact answers exactly as the trained model does, or it is not published.

Compared on real sentences, at every decoding step: logits without a cache (teacher forcing) = with torch's cache = from
the ONNX graphs; then the greedy ids of torch = those of the service's own worker, continuous batching included.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from service.artifact import Artifact, Parity
from service.engine.cores import available_cores
from service.engine.decoding.options import DecodingOptions
from service.engine.interfaces import NullObserver
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs, pad
from service.engine.queue import Queue, QueueLimits
from service.engine.types import EngineRequest, EngineResult
from service.engine.worker import Engine, LocalWorkerPool
from training.data.tokenizer import BOS, EOS, PAD
from training.decoding.greedy import default_target_length, greedy
from training.metrics import class_probabilities
from training.models import Translator

ROWS = 32


class ParityError(RuntimeError):
    """The graphs do not compute what the trained model computes."""


@dataclass
class Differences:
    """The largest absolute differences seen, by what was compared."""

    tolerance: float
    largest: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, one: np.ndarray, other: np.ndarray) -> None:
        """Compare two arrays.

        Raises:
            ParityError: they differ by more than the tolerance, or hold something that is not a number.
        """
        difference = float(np.abs(one - other).max(initial=0.0))
        if not difference <= self.tolerance:
            raise ParityError(f"{name} differs from the trained model by {difference:.2e}, allowed is {self.tolerance}")
        self.largest[name] = max(difference, self.largest.get(name, 0.0))


def verify_translator(model: Translator, artifact: Artifact, sources: list[list[int]], tolerance: float) -> Parity:
    """Prove parity on sources with marks.

    Raises:
        ParityError: at the first difference above the tolerance, or when greedy ids differ.
    """
    differences = Differences(tolerance)
    engine = TranslateEngine(TranslateGraphs.load(artifact, available_cores()), ROWS)
    score = Session(artifact.graph("score"), available_cores())
    for batch in _batches(sources):
        _compare_steps(model, engine, batch, differences)
        _compare_scores(model, score, batch, differences)
    expected = greedy(model, sources, torch.device("cpu"))
    limits = [default_target_length(len(ids), model.config.max_target_length) for ids in sources]
    requests = [
        EngineRequest(ids, DecodingOptions(max_length=limit)) for ids, limit in zip(sources, limits, strict=True)
    ]
    found = [answer.ids for answer in serve([engine], requests)]
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
    for start in range(0, len(ordered), ROWS):
        yield ordered[start : start + ROWS]


@torch.inference_mode()
def _compare_steps(
    model: Translator, engine: TranslateEngine, sources: list[list[int]], differences: Differences
) -> None:
    """Decode greedily with torch's cache, feeding the ONNX graphs the same tokens; then once more without a cache."""
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
        differences.note("ONNX logits", engine.forward()[live], logits.numpy()[live])
        steps.append((live.copy(), logits.numpy()))
        token = logits.argmax(-1)
        live &= token.numpy() != EOS
        target = torch.cat([target, token[:, None]], dim=1)  # (B, T+1)
    uncached = model(source, lengths, target[:, :-1]).numpy()  # (B, T, V)
    for position, (rows, cached) in enumerate(steps):
        differences.note("cached logits", cached[rows], uncached[rows, position])


@torch.inference_mode()
def _compare_scores(model: Translator, score: Session, sources: list[list[int]], differences: Differences) -> None:
    """The score graph against teacher forcing, the sources themselves standing in for targets of uneven length."""
    inputs = pad(sources, PAD)
    targets = pad([[BOS, *ids[: model.config.max_target_length - 1]] for ids in sources], PAD)["source"]
    labels = np.roll(targets, -1, axis=1)
    found = score.run(inputs | {"target": targets, "label": labels})["log_probability"]
    source, lengths = torch.from_numpy(inputs["source"]), torch.from_numpy(inputs["source_length"]).long()
    logits = model(source, lengths, torch.from_numpy(targets))  # (B, T, V)
    expected = logits.log_softmax(-1).gather(-1, torch.from_numpy(labels)[..., None])[..., 0]  # (B, T)
    real = targets != PAD
    differences.note("score", found[real], expected.numpy()[real])


def verify_classifier(model: nn.Module, artifact: Artifact, sources: list[list[int]], tolerance: float) -> Parity:
    """Prove that the probabilities are the trained model's, through the service's own worker.

    Raises:
        ParityError: they differ by more than the tolerance, or a text gets another label.
    """
    differences = Differences(tolerance)
    expected = class_probabilities(model, sources, torch.device("cpu"))
    graph = Session(artifact.graph("classify"), available_cores())
    answers = serve([ClassifyEngine(artifact, graph)], [EngineRequest(ids) for ids in sources])
    found = np.array([answer.probabilities for answer in answers])
    differences.note("probabilities", found, expected)
    if wrong := int((found.argmax(-1) != expected.argmax(-1)).sum()):
        raise ParityError(f"labels of {wrong} of {len(sources)} texts differ from the trained model's")
    largest = differences.largest["probabilities"]
    return Parity(sentences=len(sources), cached=0.0, onnx=largest, tolerance=tolerance)


def serve(engines: Sequence[Engine], requests: list[EngineRequest], rows: int = ROWS) -> list[EngineResult]:
    """Answer the requests with the service's queue and workers, `rows` at a time, all submitted at once."""
    for engine in engines:
        engine.clear()
    tokens = sum(request.tokens for request in requests)
    limits = QueueLimits(rows=rows, queue_segments=len(requests), queue_tokens=tokens)
    worker_pool = LocalWorkerPool("verify", list(engines), Queue(limits, len(engines)), NullObserver())
    worker_pool.start()
    worker_pool.queue.submit(requests)
    answers = [request.future.result() for request in requests]
    worker_pool.drain(timeout=60)
    return answers

"""The parity check of an import: an artifact must give the answers of transformers, or it is not published.

For a translator, the service's own engine translates the texts greedily; the model of transformers reads the same
sources and targets with teacher forcing. At every step its logits must be those of the step graph, and its most
probable token the one that the engine chose; so its own greedy search would give the same answer.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from export.checks.local_engine import DEFAULT_ROWS, run_requests
from export.checks.parity import Differences, ParityError
from service.artifact import Artifact, Parity
from service.engine.cores import available_cores
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat, pad
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from training.decoding.greedy import default_target_length

# source (B, S), attention mask (B, S), target (B, T) -> logits (B, T, V)
Logits = Callable[[Tensor, Tensor, Tensor], Tensor]
MAX_TOKENS = 64  # generated for each text: more of them prove nothing new


class Source(NamedTuple):
    """The ids of a source, and those that its translation begins with."""

    ids: list[int]
    target_prefix: tuple[int, ...] = ()


@torch.inference_mode()
def verify_imported_translator(
    logits: Logits, artifact: Artifact, sources: list[Source], barred: list[int], tolerance: float
) -> Parity:
    """Compare an artifact with the model that it was imported from; `barred` are tokens that are never generated.

    Raises:
        ParityError: a logit or a score differs by more than the tolerance, or a token is another one.
    """
    differences = Differences(tolerance)
    special, limits = artifact.manifest.special_tokens, artifact.manifest.limits
    engine = TranslateEngine(TranslateGraphs.load(artifact, available_cores()), DEFAULT_ROWS)
    score = Session(artifact.graph("score"), available_cores())
    lengths = [min(MAX_TOKENS, default_target_length(len(ids), limits.target_length - 1)) for ids, _ in sources]
    requests = [
        EngineRequest(ids, DecodingOptions(max_length=n, prefix=prefix))
        for (ids, prefix), n in zip(sources, lengths, strict=True)
    ]
    answers = [result.ids for result in run_requests([engine], requests)]
    ordered = sorted(range(len(sources)), key=lambda i: (len(sources[i].ids), len(answers[i])))
    for start in range(0, len(ordered), DEFAULT_ROWS):
        rows = ordered[start : start + DEFAULT_ROWS]
        batch, generated = [sources[i].ids for i in rows], [answers[i] for i in rows]
        arrays = SourceFormat.of(score, special.pad).arrays(batch)
        source, source_length = (torch.from_numpy(arrays[name]) for name in ("source", "source_length"))
        mask = (torch.arange(source.size(1)) < source_length[:, None]).long()
        targets = pad([[special.bos, *ids] for ids in generated], special.pad)["source"]
        labels = pad([[*ids, special.eos] for ids in generated], special.pad)["source"]
        expected = logits(source, mask, torch.from_numpy(targets)).numpy().copy()  # (B, T, V)
        real = np.arange(targets.shape[1]) <= np.array([[len(ids)] for ids in generated])  # (B, T)
        expected[..., barred] = -np.inf
        scores = torch.from_numpy(expected).log_softmax(-1).numpy()
        found = score.run(arrays | {"target": targets, "label": labels})["log_probability"]
        chosen = np.take_along_axis(scores, labels[..., None], -1)[..., 0]
        differences.compare("score", found[real], chosen[real])
        stopped = [len(ids) < lengths[i] for ids, i in zip(generated, rows, strict=True)]
        spans = [
            slice(len(sources[i].target_prefix), len(ids) + ended)
            for i, ids, ended in zip(rows, generated, stopped, strict=True)
        ]
        wrong = sum(
            expected[row, span].argmax(-1).tolist() != labels[row, span].tolist() for row, span in enumerate(spans)
        )
        if wrong:
            raise ParityError(f"greedy answers to {wrong} of {len(rows)} texts differ from those of transformers")
        _compare_steps(engine, batch, targets, real, expected, differences)
    largest = max(differences.largest.values())
    return Parity(sentences=len(sources), cached=0.0, onnx=largest, tolerance=tolerance)


def _compare_steps(
    engine: TranslateEngine,
    sources: list[list[int]],
    targets: np.ndarray,
    real: np.ndarray,
    expected: np.ndarray,
    differences: Differences,
) -> None:
    """Run the step graph over targets (B, T) and compare its logits with the expected ones (B, T, V)."""
    engine.clear()
    engine.join([EngineRequest(ids) for ids in sources])
    finite = np.isfinite(expected[0, 0])
    for position in range(targets.shape[1]):
        engine.token[: len(sources)], engine.position[: len(sources)] = targets[:, position], position
        rows = real[:, position]
        found = engine.forward().all()[rows][:, finite]
        differences.compare("ONNX logits", found, expected[rows, position][:, finite])


@torch.inference_mode()
def verify_imported_classifier(
    probabilities: Callable[[int], Tensor], artifact: Artifact, sources: list[list[int]], tolerance: float
) -> Parity:
    """Compare an artifact with the classifier that it was imported from.

    `probabilities` returns what that one says of the source of a number: (1, labels).

    Raises:
        ParityError: a probability differs by more than the tolerance, or a text gets another label.
    """
    differences = Differences(tolerance)
    graph = Session(artifact.graph("classify"), available_cores())
    results = run_requests([ClassifyEngine(artifact, graph)], [EngineRequest(ids) for ids in sources])
    for i, (result, ids) in enumerate(zip(results, sources, strict=True)):
        expected = probabilities(i).numpy()[0]  # (labels,)
        found = np.array(result.probabilities)
        differences.compare("probabilities", found, expected)
        if not artifact.manifest.multi_label and found.argmax() != expected.argmax():
            raise ParityError(f"the label of a text of {len(ids)} tokens differs from that of transformers")
    return Parity(sentences=len(sources), cached=0.0, onnx=differences.largest["probabilities"], tolerance=tolerance)

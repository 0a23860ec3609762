"""The scoring engine: the log-probability of given translations, and the cross-attention of each of their tokens.

The graph reads a whole translation at once (teacher forcing). Its softmaxes run over padded axes, and their sums may
depend on the width of the padding. So each pair is padded to a width that follows from its own lengths alone, and is
computed together with pairs of the same widths: a result does not depend on the other pairs.

Shapes: B pairs, S source length, T target length with one special token, L decoder layers, V vocabulary.
"""

import math

import numpy as np

from service.artifact import Artifact
from service.engine.decoding.search import NotANumber
from service.engine.models.session import Arrays, Session
from service.engine.models.source import SourceFormat
from service.engine.types import EngineRequest, EngineResult, FinishedRequest, Hypothesis

WIDTH = 16  # lengths are padded to multiples of this
LOGITS = 4_194_304  # maximum B * T * V of one run with several pairs: 16 MB


def alignment_layer(layers: int) -> int:
    """Return the decoder layer whose cross-attention aligns words best: the penultimate, or the last of two.

    Garg et al. 2019 (arXiv 1909.02074) found the penultimate of six layers best;
    benchmarks/offline/word_alignment.py compares all layers.
    """
    return layers - 2 if layers > 2 else layers - 1


class ScoreEngine:
    """The waiting pairs and the graph that scores them; the workers of a pool share the graph."""

    pool_bytes = 0

    def __init__(self, artifact: Artifact, graph: Session) -> None:
        self.manifest, self.graph = artifact.manifest, graph
        self.source_format = SourceFormat.of(graph, artifact.manifest.special_tokens.pad)
        self.requests: list[EngineRequest] = []

    def divide(self, requests: list[EngineRequest]) -> list[list[EngineRequest]]:
        """Return all newcomers as one group; which pairs share a run is chosen before each step."""
        return [requests] if requests else []

    def join(self, group: list[EngineRequest]) -> None:
        """Add pairs, to be computed in the next steps."""
        self.requests += group

    def step(self) -> list[FinishedRequest]:
        """Score the oldest pair together with the pairs of the same padded lengths."""
        shape = self._padded_shape(self.requests[0])
        max_pairs = max(1, LOGITS // (shape[1] * self.manifest.vocabulary))
        batch = [request for request in self.requests if self._padded_shape(request) == shape][:max_pairs]
        outputs = self.graph.run(self._inputs(batch, *shape))
        self.drop(batch)
        maps = outputs.get("cross_attention")  # (B, L, T, S); absent for a model without attention
        attentions = [None] * len(batch) if maps is None else maps[:, alignment_layer(maps.shape[1])]  # (B, T, S)
        rows = zip(batch, outputs["log_probability"], attentions, strict=True)
        return [(request, _outcome(request, log_probs, attention)) for request, log_probs, attention in rows]

    def _padded_shape(self, request: EngineRequest) -> tuple[int, int]:
        limits = self.manifest.limits
        source, target = len(request.ids), len(_translation(request)) + 1
        return _padded(source, limits.source_length), _padded(target, limits.target_length)

    def _inputs(self, requests: list[EngineRequest], source: int, target: int) -> Arrays:
        """Return the graph's inputs: target = begin token + translation, label = translation + end token."""
        special_tokens = self.manifest.special_tokens
        arrays = {
            name: np.full((len(requests), target), special_tokens.pad, dtype=np.int64) for name in ("target", "label")
        }
        for row, request in enumerate(requests):
            translation = _translation(request)
            arrays["target"][row, : len(translation) + 1] = [special_tokens.bos, *translation]
            arrays["label"][row, : len(translation) + 1] = [*translation, special_tokens.eos]
        return arrays | self.source_format.arrays([request.ids for request in requests], source)

    def drop(self, requests: list[EngineRequest]) -> None:
        """Remove requests that are finished or cancelled."""
        dropped = set(requests)
        self.requests = [request for request in self.requests if request not in dropped]

    def clear(self) -> None:
        """Remove all requests."""
        self.requests = []


def _translation(request: EngineRequest) -> list[int]:
    if request.translation is None:
        raise ValueError("a request without a translation cannot be scored")
    return request.translation


def _padded(length: int, limit: int) -> int:
    return min(limit, -(-length // WIDTH) * WIDTH)


def _outcome(request: EngineRequest, log_probs: np.ndarray, attention: np.ndarray | None) -> EngineResult | NotANumber:
    """Return the result of one row from its padded log-probabilities (T,) and attention (T, S)."""
    translation = _translation(request)
    length = len(translation) + 1
    values: list[float] = log_probs[:length].tolist()
    hypothesis = Hypothesis(list(translation), score=sum(values) / length, log_probabilities=values)
    if not math.isfinite(sum(values)):
        return NotANumber("the model's log-probabilities of a translation are not finite numbers")
    return EngineResult(
        [hypothesis], attention=None if attention is None else attention[:length, : len(request.ids)].copy()
    )

"""The scoring engine: how probable given translations are, and where the decoder looked while it read them.

The graph sees a translation all at once (teacher forcing) and takes softmaxes over padded axes, whose sums may depend
on how wide the padding is. So a pair is padded to a width that follows from its own lengths alone, and is computed
together with pairs of the same widths: who else is there changes nothing.

Shapes: B pairs, S source length, T target length with one mark, L decoder layers, V vocabulary.
"""

import math

import numpy as np

from service.artifact import Artifact
from service.engine.decoding.search import NotANumber
from service.engine.models.session import Arrays, Session
from service.engine.types import EngineRequest, EngineResult, FinishedRequest, Hypothesis

WIDTH = 16  # lengths are padded to multiples of this
LOGITS = 4_194_304  # computed at once, unless one pair has more: 16 MB


def alignment_layer(layers: int) -> int:
    """Whose cross-attention says best what a token translates: the last layer but one, or the second of two.

    Garg et al. 2019 (arXiv 1909.02074) found the former for six layers; benchmarks/offline/word_alignment.py
    compares all of them.
    """
    return layers - 2 if layers > 2 else layers - 1


class ScoreEngine:
    """The pairs that wait for a step, and the graph that scores them; the model's workers share the graph."""

    pool_bytes = 0

    def __init__(self, artifact: Artifact, graph: Session) -> None:
        self.manifest, self.graph = artifact.manifest, graph
        self.requests: list[EngineRequest] = []

    def join(self, group: list[EngineRequest]) -> None:
        """Pairs to be computed by the next steps."""
        self.requests += group

    def step(self) -> list[FinishedRequest]:
        """Score the pair that came first, and with it those that are padded alike."""
        shape = self._shape(self.requests[0])
        room = max(1, LOGITS // (shape[1] * self.manifest.vocabulary))
        batch = [request for request in self.requests if self._shape(request) == shape][:room]
        found = self.graph.run(self._inputs(batch, *shape))
        self.drop(batch)
        maps = found.get("cross_attention")  # (B, L, T, S); a model that reads without attention has none
        chosen = [None] * len(batch) if maps is None else maps[:, alignment_layer(maps.shape[1])]  # (B, T, S)
        rows = zip(batch, found["log_probability"], chosen, strict=True)
        return [(request, _outcome(request, log_probs, attention)) for request, log_probs, attention in rows]

    def _shape(self, request: EngineRequest) -> tuple[int, int]:
        limits = self.manifest.limits
        source, target = len(request.ids), len(_translation(request)) + 1
        return _padded(source, limits.source_length), _padded(target, limits.target_length)

    def _inputs(self, requests: list[EngineRequest], source: int, target: int) -> Arrays:
        """What the graph reads: the translation behind its begin mark, and as labels before its end mark."""
        special_tokens = self.manifest.special_tokens
        widths = {"source": source, "target": target, "label": target}
        arrays = {
            name: np.full((len(requests), width), special_tokens.pad, dtype=np.int64) for name, width in widths.items()
        }
        for row, request in enumerate(requests):
            translation = _translation(request)
            arrays["source"][row, : len(request.ids)] = request.ids
            arrays["target"][row, : len(translation) + 1] = [special_tokens.bos, *translation]
            arrays["label"][row, : len(translation) + 1] = [*translation, special_tokens.eos]
        lengths = np.array([len(request.ids) for request in requests], dtype=np.int32)
        return arrays | {"source_length": lengths}

    def drop(self, requests: list[EngineRequest]) -> None:
        """Forget requests that are answered, or that nobody waits for."""
        gone = set(requests)
        self.requests = [request for request in self.requests if request not in gone]

    def clear(self) -> None:
        """Forget all requests."""
        self.requests = []


def _translation(request: EngineRequest) -> list[int]:
    if request.translation is None:
        raise ValueError("a ticket without a translation cannot be scored")
    return request.translation


def _padded(length: int, limit: int) -> int:
    return min(limit, -(-length // WIDTH) * WIDTH)


def _outcome(request: EngineRequest, log_probs: np.ndarray, attention: np.ndarray | None) -> EngineResult | NotANumber:
    """A row's answer, from its log-probabilities (T,) and its attention (T, S), both with padding."""
    translation = _translation(request)
    length = len(translation) + 1
    values: list[float] = log_probs[:length].tolist()
    hypothesis = Hypothesis(list(translation), score=sum(values) / length, log_probabilities=values)
    if not math.isfinite(sum(values)):
        return NotANumber("the model's log-probabilities of a translation are not numbers")
    return EngineResult(
        [hypothesis], attention=None if attention is None else attention[:length, : len(request.ids)].copy()
    )

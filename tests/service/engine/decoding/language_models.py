"""Artificial language models, and a search group run on them without graphs, threads or caches."""

from collections.abc import Callable

import numpy as np

from service.engine.decoding.logits_processors import process_group
from service.engine.decoding.search import ArrayLogits, Candidates, SearchGroup
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest, EngineResult

EOS = 3
MAX_LENGTH = 40
Model = Callable[[list[int]], np.ndarray]  # generated ids -> logits (V,) of the next token


def random_model(seed: int, vocabulary: int = 12, ending: float = 0.5) -> Model:
    """Return a model with random logits for each prefix; `ending` is added to the logit of the end token."""

    def logits(written: list[int]) -> np.ndarray:
        line = 2 * np.random.default_rng([seed, *written]).normal(size=vocabulary)
        line[EOS] += ending
        return line

    return logits


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def decode(group: SearchGroup, models: list[Model], options: list[DecodingOptions]) -> list[EngineResult | Exception]:
    """Run requests that join the group together, each with its own model and options; return their outcomes."""
    requests = [EngineRequest([], one) for one in options]
    width = group.rows.shape[1]
    group.join(requests, np.arange(len(requests) * width).reshape(len(requests), width))
    model_of = [model for model in models for _ in range(width)]
    written: list[list[int]] = [[] for _ in model_of]  # generated ids of every row
    token = np.zeros(len(model_of), np.int64)
    outcomes: dict[int, EngineResult | Exception] = {}
    while group.requests:
        logits = np.array([model(ids) for model, ids in zip(model_of, written, strict=True)])
        for index, request in enumerate(group.requests):
            if request.options.changes_logits:
                assert group.generated(index).tolist() == [written[row] for row in group.rows[index].tolist()]
        process_group(ArrayLogits(logits), group, EOS)
        choice = group.choose(ArrayLogits(logits), candidates_of(logits, group.width), token)
        before = [list(ids) for ids in written]
        for to, row in zip(choice.target_rows.tolist(), choice.source_rows.tolist(), strict=True):
            assert (
                written[to][: choice.shared_length] == before[row][: choice.shared_length]
            )  # the shared part is not copied
            written[to] = list(before[row])
        for ids, chosen in zip(written, token.tolist(), strict=True):
            ids.append(chosen)
        outcomes |= {requests.index(request): outcome for request, outcome in choice.finished}
    return [outcomes[i] for i in range(len(requests))]


def candidates_of(logits: np.ndarray, width: int) -> Candidates | None:
    if not width:
        return None
    with np.errstate(invalid="ignore"):
        values = log_softmax(logits)
    order = np.argsort(-values, axis=1, kind="stable")[:, :width]
    return Candidates(order, np.take_along_axis(values, order, axis=1))


def answers(outcomes: list[EngineResult | Exception]) -> list[EngineResult]:
    """Return the outcomes, all of which must be results."""
    for outcome in outcomes:
        assert isinstance(outcome, EngineResult), outcome
    return outcomes  # type: ignore[return-value]

"""The select graph returns the C best tokens of a log-softmax, for any vocabulary, independently of other rows."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from export.graphs.topk import select_graph
from service.engine.models.session import Session

RANKED_WHOLE = [7, 320, 1031, 4099]  # small, or without a suitable divisor
RANKED_IN_BLOCKS = [64 * 64, 8000, 32_000]


def session(vocabulary: int, folder: Path) -> Session:
    model = select_graph(vocabulary)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "select.onnx")
    return Session(folder / "select.onnx", threads=1)


def select(graph: Session, logits: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    found = graph.run({"logits": logits.astype(np.float32), "count": np.array([count], np.int64)})
    return found["token"], found["log_probability"]


def random_logits(rows: int, vocabulary: int) -> np.ndarray:
    return np.random.default_rng(vocabulary).normal(scale=4, size=(rows, vocabulary)).astype(np.float32)


@pytest.mark.parametrize("vocabulary", [*RANKED_WHOLE, *RANKED_IN_BLOCKS])
def test_most_probable_tokens_come_best_first(vocabulary: int, tmp_path: Path) -> None:
    graph, logits = session(vocabulary, tmp_path), random_logits(5, vocabulary)
    exact = logits.astype(np.float64)
    expected = exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))
    order = np.argsort(-expected, axis=1, kind="stable")
    for count in (1, 2, min(32, vocabulary)):
        token, log_probability = select(graph, logits, count)
        np.testing.assert_array_equal(token, order[:, :count])
        np.testing.assert_allclose(log_probability, np.take_along_axis(expected, order[:, :count], axis=1), atol=1e-5)


@pytest.mark.parametrize("vocabulary", [4099, 8000])
def test_best_tokens_may_all_be_in_one_block(vocabulary: int, tmp_path: Path) -> None:
    logits = random_logits(1, vocabulary)
    logits[0, 100:108] = np.arange(50, 42, -1)
    assert select(session(vocabulary, tmp_path), logits, 8)[0].tolist() == [list(range(100, 108))]


@pytest.mark.parametrize("vocabulary", [1031, 8000])
def test_blocks_are_used_if_the_vocabulary_has_a_divisor(vocabulary: int) -> None:
    operators = [node.op_type for node in select_graph(vocabulary).graph.node]
    assert operators.count("TopK") == (2 if vocabulary == 8000 else 1)


@pytest.mark.parametrize("vocabulary", [320, 8000])
def test_row_does_not_depend_on_other_rows_or_the_count(vocabulary: int, tmp_path: Path) -> None:
    """Ties included: half of the logits are equal to others."""
    graph, logits = session(vocabulary, tmp_path), random_logits(9, vocabulary)
    logits[4:] = np.round(logits[4:])
    batch = select(graph, logits, 32)
    for row in range(len(logits)):
        for count in (1, 3, 8, 32):
            for alone, in_batch in zip(select(graph, logits[row : row + 1], count), batch, strict=True):
                np.testing.assert_array_equal(alone[0], in_batch[row, :count])


@pytest.mark.parametrize("vocabulary", [320, 8000])
def test_minus_infinity_comes_last_and_nan_affects_its_own_row_only(vocabulary: int, tmp_path: Path) -> None:
    graph, logits = session(vocabulary, tmp_path), random_logits(4, vocabulary)
    clean = select(graph, logits, 4)
    logits[1], logits[1, 77] = -np.inf, 0.0
    logits[2, 5] = np.nan
    logits[3] = -np.inf
    token, log_probability = select(graph, logits, 4)
    np.testing.assert_array_equal(token[0], clean[0][0])
    np.testing.assert_array_equal(log_probability[0], clean[1][0])
    assert token[1, 0] == 77
    assert log_probability[1].tolist() == [0, -np.inf, -np.inf, -np.inf]
    assert np.isnan(log_probability[2:]).all()
    assert ((token >= 0) & (token < vocabulary)).all()

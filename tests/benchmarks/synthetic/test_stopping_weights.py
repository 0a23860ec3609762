"""Untrained weights stop exactly at the source length, in every search and precision."""

from pathlib import Path

import pytest
import torch

from benchmarks.synthetic.base_shape import synthetic_ids
from benchmarks.synthetic.stopping_weights import stopping_model
from tests.benchmarks.conftest import STOPPING, VOCABULARY
from training.config import TransformerConfig
from training.data.tokenizer import EOS, SPECIAL_TOKENS
from training.decoding.greedy import greedy
from training.models.transformer import Transformer

LENGTHS = list(range(5, 101))


def test_greedy_translation_is_as_long_as_its_source(stopping: Transformer) -> None:
    sources = synthetic_ids(VOCABULARY, LENGTHS, seed=3)
    answers = greedy(stopping, sources, torch.device("cpu"))
    assert [len(ids) + 1 for ids in answers] == LENGTHS
    assert all(token >= len(SPECIAL_TOKENS) for ids in answers for token in ids)
    assert len({tuple(ids) for ids in answers}) == len(answers)


@torch.inference_mode()
def test_end_of_sequence_is_certain_at_source_length_only(stopping: Transformer) -> None:
    (source,) = synthetic_ids(VOCABULARY, [30], seed=4)
    (answer,) = greedy(stopping, [source], torch.device("cpu"))
    logits = stopping(torch.tensor([source]), torch.tensor([30]), torch.tensor([[2, *answer]]))[0]  # (T, V)
    others = torch.cat([logits[:, :EOS], logits[:, EOS + 1 :]], dim=1).amax(1)
    margin = logits[:, EOS] - others
    assert margin[-1] > 20
    assert (margin[:-1] < -20).all()


@pytest.mark.parametrize("compute_type", ["float32", "int8"])
def test_every_beam_hypothesis_stops_at_source_length(stopping: Transformer, compute_type: str, tmp_path: Path) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2", reason="CTranslate2 is not installed")
    from benchmarks.baselines.ctranslate2.convert import convert, numbered_vocabulary

    vocabulary = numbered_vocabulary(VOCABULARY)
    convert(stopping, tmp_path, vocabulary, vocabulary)
    translator = ctranslate2.Translator(str(tmp_path), intra_threads=1, compute_type=compute_type)
    lengths = LENGTHS[::8]
    tokens = [[vocabulary[i] for i in ids] for ids in synthetic_ids(VOCABULARY, lengths, seed=5)]
    results = translator.translate_batch(tokens, beam_size=4, num_hypotheses=4, min_decoding_length=0)
    assert [[len(found) + 1 for found in result.hypotheses] for result in results] == [[n] * 4 for n in lengths]


def test_seed_determines_the_weights(stopping: Transformer) -> None:
    before = torch.random.get_rng_state()
    again, other = (stopping_model(TransformerConfig.model_validate(STOPPING), VOCABULARY, seed) for seed in (1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(again.output.weight, stopping.output.weight)
    assert not torch.equal(other.output.weight, stopping.output.weight)


@pytest.mark.parametrize(
    "change", [{"norm": "post"}, {"positions": "sinusoidal"}, {"tied_embeddings": False}, {"heads": 8}, {"kv_heads": 2}]
)
def test_unsupported_shape_raises(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="weights that stop need|stopping needs"):
        stopping_model(TransformerConfig.model_validate(STOPPING | change), VOCABULARY, seed=1)

"""Weights and sentences of the offline benchmark."""

import os
from pathlib import Path

import pytest

from benchmarks.offline.cases import base_case, trained_case
from benchmarks.synthetic.base_shape import synthetic_ids, synthetic_sentences, synthetic_words
from benchmarks.synthetic.lengths import QUANTILES, quantiles, sample_lengths
from tests.benchmarks.conftest import VOCABULARY
from training.data.tokenizer import EOS, load_codec
from training.runs.run import RunFolder


def test_lengths_are_seeded_and_follow_the_quantiles() -> None:
    for kind, table in QUANTILES.items():
        lengths = sample_lengths(kind, 500, seed=1)
        assert lengths == sample_lengths(kind, 500, seed=1)
        assert set(lengths) <= set(table)
        assert len(table) == 101


def test_quantiles_of_a_ramp() -> None:
    assert quantiles(list(range(200, -1, -1))) == list(range(0, 201, 2))


def test_synthetic_text_and_ids_have_the_requested_lengths(stopping_run: Path) -> None:
    codec = load_codec(stopping_run / "tokenizer.json")
    lengths = [3, 20, 7]
    ids = codec.source_ids(synthetic_sentences(synthetic_words(3), lengths, seed=1), None)
    assert [len(x) for x in ids] == lengths
    assert 1 not in {token for x in ids for token in x}
    assert [len(x) for x in synthetic_ids(VOCABULARY, lengths, seed=1)] == lengths
    assert {x[-1] for x in synthetic_ids(VOCABULARY, lengths, seed=1)} == {EOS}


def test_synthetic_words_are_distinct_and_without_digits() -> None:
    words = synthetic_words(3000)
    assert len(set(words)) == 3000
    assert {len(word) for word in words} == {5}
    assert all(map(str.isalpha, words))


def test_existing_base_run_is_used_unchanged(stopping_run: Path) -> None:
    before = RunFolder(stopping_run).weights.stat().st_mtime_ns
    case = base_case(stopping_run, "tatoeba", 40)
    assert RunFolder(stopping_run).weights.stat().st_mtime_ns == before
    assert (len(case.sources), case.limit) == (40, 128)
    assert case.sources == base_case(stopping_run, "tatoeba", 40).sources


def test_baseline_is_converted_again_when_weights_change(stopping_run: Path) -> None:
    case = base_case(stopping_run, "tatoeba", 1)
    done = case.converted("transformers") / "done"
    written = done.stat().st_mtime_ns
    assert case.converted("transformers") == stopping_run / "baselines" / "transformers"
    assert done.stat().st_mtime_ns == written
    os.utime(done, (0, 0))
    case.converted("transformers")
    assert done.stat().st_mtime > 0


def test_trained_case_has_sentences_within_the_limit(toy_translation_run: RunFolder) -> None:
    data = toy_translation_run.path.parent
    case = trained_case(toy_translation_run.path, data, "valid.tsv", "b-a", 10)
    assert len(case.sources) == 10
    assert {ids[0] for ids in case.sources} == {load_codec(case.run.path / "tokenizer.json").source.token_to_id("<2a>")}


def test_untrained_direction_raises(toy_translation_run: RunFolder) -> None:
    with pytest.raises(ValueError, match="choose one of a-b, b-a"):
        trained_case(toy_translation_run.path, toy_translation_run.path.parent, "valid.tsv", "a-c", 10)

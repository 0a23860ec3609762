"""The texts: requested lengths, distinct, the same for the same seed."""

from pathlib import Path
from random import Random

import pytest

from loadtest.clauses import CLAUSES
from loadtest.corpus import CorpusError, compose, draw_length, generate, read


@pytest.mark.parametrize("language", CLAUSES)
def test_sentence_has_exactly_the_requested_length(language: str) -> None:
    rng = Random(1)
    assert [len(compose(language, words, rng).split()) for words in range(1, 61)] == list(range(1, 61))


def test_lengths_follow_everyday_and_news_sentences() -> None:
    rng = Random(1)
    lengths = sorted(draw_length(rng) for _ in range(4000))
    assert (lengths[0], lengths[-1]) <= (2, 60)
    assert 12 < sum(lengths) / len(lengths) < 14  # 6.5 words in Tatoeba, 19.5 in newstest
    assert lengths[400] <= 5
    assert lengths[3600] >= 24


def test_texts_are_distinct_and_depend_on_the_seed() -> None:
    pool = generate(["de"], 200, Random("1"))
    assert len(set(pool)) == 200
    assert pool == generate(["de"], 200, Random("1"))
    assert pool != generate(["de"], 200, Random("2"))


def test_unknown_language_needs_a_file() -> None:
    with pytest.raises(CorpusError, match="no built-in sentences in tlh"):
        generate(["tlh"], 1, Random(1))


def test_file_gives_its_distinct_lines_or_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("eins\n\n zwei \nzwei\ndrei\n", "utf-8")
    assert read(path, 10, Random(1)) == ["eins", "zwei", "drei"]
    assert len(read(path, 2, Random(1))) == 2
    assert read(path, 2, Random(1)) == read(path, 2, Random(1))


def test_file_without_text_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n \n", "utf-8")
    with pytest.raises(CorpusError, match="no line contains text"):
        read(tmp_path / "empty.txt", 10, Random(1))
    with pytest.raises(CorpusError, match="missing.txt"):
        read(tmp_path / "missing.txt", 10, Random(1))

"""Tokenizers: what they restore, that text never becomes a special token, what they reject."""

from pathlib import Path
from typing import Any

import pytest

from training.config import TokenizerConfig
from training.data.tokenizer import EOS, SPECIAL_TOKENS, UNK, Codec, TokenizerError, load_codec, tag, train_codec

TEXTS = [
    "the cat sat on the mat", "a <eos> in a text", "<2de> x<eos>y <pad> <bos> <unk>", "two  spaces   three",
    "ein Café 😀", "Größe", "0123456789", "a > b < c",
] * 5  # fmt: skip
RESTORING_KINDS = {"word": 56, "bpe": 300, "unigram": 82}  # vocabulary sizes; `character` cannot restore text


def build(kind: str, joint: bool = True, **changes: Any) -> Codec:
    config = TokenizerConfig(
        **{"kind": kind, "vocabulary": RESTORING_KINDS[kind], "min_frequency": 1, "joint": joint, **changes}
    )
    return train_codec(config, TEXTS, [text.upper() for text in TEXTS], ["de", "en"])


@pytest.fixture(scope="module", params=RESTORING_KINDS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return build(request.param)


def test_saved_codec_gives_the_same_ids(codec: Codec, tmp_path: Path) -> None:
    codec.save(tmp_path / "tokenizer.json")
    loaded = load_codec(tmp_path / "tokenizer.json")
    assert loaded.joint
    assert loaded.source_ids(TEXTS, "de") == codec.source_ids(TEXTS, "de")
    assert loaded.target_ids(TEXTS) == codec.target_ids(TEXTS)
    assert loaded.text(loaded.target_ids(TEXTS)) == codec.text(codec.target_ids(TEXTS))


def test_text_never_becomes_a_special_token(codec: Codec, tmp_path: Path) -> None:
    codec.save(tmp_path / "tokenizer.json")
    special_ids = {codec.source.token_to_id(token) for token in [*SPECIAL_TOKENS, tag("de"), tag("en")]} - {UNK}
    assert len(special_ids) == 5
    spelled = [text for token in [*SPECIAL_TOKENS, tag("de")] for text in (token, f"x{token}y", f"a {token} b")]
    for reader in (codec, load_codec(tmp_path / "tokenizer.json")):
        assert not special_ids & {i for ids in reader.target_ids(spelled) for i in ids}
        # Every character was in the corpus, so none is unknown, and the text is restored.
        restored = [text.replace(" ", "") for text in reader.text(reader.target_ids(spelled))]
        assert restored == [text.replace(" ", "") for text in spelled]


def test_special_tokens_are_placed_around_the_ids(codec: Codec) -> None:
    (plain,) = codec.target_ids(["the cat"])
    assert codec.source_ids(["the cat"], None) == [[*plain, EOS]]
    assert codec.source_ids(["the cat"], "en") == [[codec.source.token_to_id("<2en>"), *plain, EOS]]
    assert codec.text([[*plain, EOS]]) == codec.text([plain]) == ["the cat"]


@pytest.mark.parametrize(
    "text", ["the cat", "two  spaces   and a tab\t.", "unseen: Ωmega, 東京, 👩‍👩‍👧", "(a) «b» 'c'", "x", "", "ends "]
)
def test_byte_bpe_restores_any_text(text: str) -> None:
    bpe = build("bpe")
    ids = bpe.target_ids([text])
    assert UNK not in ids[0]
    assert bpe.text(ids) == [text]


def test_unigram_restores_known_characters() -> None:
    unigram = build("unigram")
    assert unigram.text(unigram.target_ids(["the mat  sat"])) == ["the mat  sat"]
    assert UNK in unigram.target_ids(["東京"])[0]


def test_character_tokenizer_shows_word_bounds(tmp_path: Path) -> None:
    config = TokenizerConfig(kind="character", vocabulary=43, min_frequency=1)
    codec = train_codec(config, TEXTS, [], [])
    codec.save(tmp_path / "tokenizer.json")
    for reader in (codec, load_codec(tmp_path / "tokenizer.json")):
        space, t = (reader.source.token_to_id(c) for c in " t")
        one, two, unknown = reader.target_ids(["t", "  t\n\tt", "東"])
        assert one == [space, t, space]
        assert two == [space, t, space, t, space]
        assert unknown == [space, UNK, space]


def test_lowercasing_is_optional() -> None:
    assert build("bpe", lowercase=True).target_ids(["ThE CAT"]) == build("bpe", lowercase=True).target_ids(["the cat"])
    assert build("bpe").target_ids(["ThE CAT"]) != build("bpe").target_ids(["the cat"])


@pytest.mark.parametrize("kind", RESTORING_KINDS)
def test_separate_vocabularies_share_one_file(kind: str, tmp_path: Path) -> None:
    codec = build(kind, joint=False, vocabulary={"word": 33, "bpe": 300, "unigram": 52}[kind])
    codec.save(tmp_path / "tokenizer.json")
    loaded = load_codec(tmp_path / "tokenizer.json")
    assert not loaded.joint
    assert loaded.source.get_vocab() != loaded.target.get_vocab()
    assert loaded.source_ids(["the cat"], "de") == codec.source_ids(["the cat"], "de")
    assert loaded.text(loaded.target_ids(["THE CAT"])) == ["THE CAT"]


@pytest.mark.parametrize(("kind", "vocabulary"), [("word", 6), ("bpe", 261), ("unigram", 6), ("unigram", 40)])
def test_too_small_vocabulary_is_rejected(kind: str, vocabulary: int) -> None:
    with pytest.raises(TokenizerError, match=f"tokenizer.vocabulary is {vocabulary}.*raise it"):
        build(kind, vocabulary=vocabulary)


@pytest.mark.parametrize("kind", RESTORING_KINDS)
def test_vocabulary_too_large_for_corpus_is_rejected(kind: str) -> None:
    with pytest.raises(TokenizerError, match=r"vocabulary is 900, but the corpus supports no more than \d+; lower it"):
        build(kind, vocabulary=900)


def test_min_frequency_above_all_words_is_rejected() -> None:
    with pytest.raises(TokenizerError, match="no word occurs tokenizer.min_frequency 1000 times"):
        build("word", min_frequency=1000)


@pytest.mark.parametrize(("content", "words"), [(None, "no such file"), ("{", "damaged"), ("{}", "damaged")])
def test_invalid_tokenizer_file_is_rejected(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError, match=f"tokenizer.json: {words}"):
        load_codec(tmp_path / "tokenizer.json")

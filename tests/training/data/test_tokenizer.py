"""Tokenisers: what they restore, what they never confuse, what they refuse."""

from pathlib import Path

import pytest

from training.config import TokenizerConfig
from training.data.tokenizer import EOS, SPECIAL_TOKENS, UNK, Codec, TokenizerError, load_codec, tag, train_codec

TEXTS = [
    "the cat sat on the mat", "a <eos> in a text", "<2de> x<eos>y <pad> <bos> <unk>", "two  spaces   three",
    "ein Café 😀", "Größe", "0123456789", "a > b < c",
] * 5  # fmt: skip
KINDS = {"word": 56, "bpe": 300, "unigram": 82}  # those that restore text; characters are for classifiers


def build(kind: str, joint: bool = True, **changes: object) -> Codec:
    config = TokenizerConfig(**{"kind": kind, "vocabulary": KINDS[kind], "min_frequency": 1, "joint": joint, **changes})  # type: ignore[arg-type]
    return train_codec(config, TEXTS, [text.upper() for text in TEXTS], ["de", "en"])


@pytest.fixture(scope="module", params=KINDS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return build(request.param)


def test_a_saved_codec_gives_the_same_ids(codec: Codec, tmp_path: Path) -> None:
    codec.save(tmp_path / "tokenizer.json")
    loaded = load_codec(tmp_path / "tokenizer.json")
    assert loaded.joint
    assert loaded.source_ids(TEXTS, "de") == codec.source_ids(TEXTS, "de")
    assert loaded.target_ids(TEXTS) == codec.target_ids(TEXTS)
    assert loaded.text(loaded.target_ids(TEXTS)) == codec.text(codec.target_ids(TEXTS))


def test_no_text_spells_a_mark(codec: Codec, tmp_path: Path) -> None:
    codec.save(tmp_path / "tokenizer.json")
    marks = {codec.source.token_to_id(mark) for mark in [*SPECIAL_TOKENS, tag("de"), tag("en")]} - {UNK}
    assert len(marks) == 5
    spelled = [text for mark in [*SPECIAL_TOKENS, tag("de")] for text in (mark, f"x{mark}y", f"a {mark} b")]
    for reader in (codec, load_codec(tmp_path / "tokenizer.json")):
        assert not marks & {i for ids in reader.target_ids(spelled) for i in ids}
        # Every character was in the corpus, so nothing is unknown either, and the text comes back.
        restored = [text.replace(" ", "") for text in reader.text(reader.target_ids(spelled))]
        assert restored == [text.replace(" ", "") for text in spelled]


def test_marks_are_placed_around_the_ids(codec: Codec) -> None:
    (plain,) = codec.target_ids(["the cat"])
    assert codec.source_ids(["the cat"], None) == [[*plain, EOS]]
    assert codec.source_ids(["the cat"], "en") == [[codec.source.token_to_id("<2en>"), *plain, EOS]]
    assert codec.text([[*plain, EOS]]) == codec.text([plain]) == ["the cat"]


@pytest.mark.parametrize(
    "text", ["the cat", "two  spaces   and a tab\t.", "unseen: Ωmega, 東京, 👩‍👩‍👧", "(a) «b» 'c'", "x", "", "ends "]
)
def test_bytes_restore_any_text(text: str) -> None:
    bpe = build("bpe")
    ids = bpe.target_ids([text])
    assert UNK not in ids[0]
    assert bpe.text(ids) == [text]


def test_unigram_restores_known_characters() -> None:
    unigram = build("unigram")
    assert unigram.text(unigram.target_ids(["the mat  sat"])) == ["the mat  sat"]
    assert UNK in unigram.target_ids(["東京"])[0]


def test_characters_show_where_words_begin_and_end(tmp_path: Path) -> None:
    config = TokenizerConfig(kind="character", vocabulary=43, min_frequency=1)
    codec = train_codec(config, TEXTS, [], [])
    codec.save(tmp_path / "tokenizer.json")
    for reader in (codec, load_codec(tmp_path / "tokenizer.json")):
        space, t = (reader.source.token_to_id(c) for c in " t")
        one, two, unknown = reader.target_ids(["t", "  t\n\tt", "東"])
        assert one == [space, t, space]
        assert two == [space, t, space, t, space]
        assert unknown == [space, UNK, space]


def test_lower_case_is_a_choice() -> None:
    assert build("bpe", lowercase=True).target_ids(["ThE CAT"]) == build("bpe", lowercase=True).target_ids(["the cat"])
    assert build("bpe").target_ids(["ThE CAT"]) != build("bpe").target_ids(["the cat"])


@pytest.mark.parametrize("kind", KINDS)
def test_separate_vocabularies_share_a_file(kind: str, tmp_path: Path) -> None:
    codec = build(kind, joint=False, vocabulary={"word": 33, "bpe": 300, "unigram": 52}[kind])
    codec.save(tmp_path / "tokenizer.json")
    loaded = load_codec(tmp_path / "tokenizer.json")
    assert not loaded.joint
    assert loaded.source.get_vocab() != loaded.target.get_vocab()
    assert loaded.source_ids(["the cat"], "de") == codec.source_ids(["the cat"], "de")
    assert loaded.text(loaded.target_ids(["THE CAT"])) == ["THE CAT"]


@pytest.mark.parametrize(("kind", "vocabulary"), [("word", 6), ("bpe", 261), ("unigram", 6), ("unigram", 40)])
def test_a_vocabulary_too_small_is_refused(kind: str, vocabulary: int) -> None:
    with pytest.raises(TokenizerError, match=f"tokenizer.vocabulary is {vocabulary}.*raise it"):
        build(kind, vocabulary=vocabulary)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_that_the_corpus_does_not_support_is_refused(kind: str) -> None:
    with pytest.raises(TokenizerError, match=r"vocabulary is 900, but the corpus supports no more than \d+; lower it"):
        build(kind, vocabulary=900)


def test_words_too_rare_are_refused() -> None:
    with pytest.raises(TokenizerError, match="no word occurs tokenizer.min_frequency 1000 times"):
        build("word", min_frequency=1000)


@pytest.mark.parametrize(("content", "words"), [(None, "no such file"), ("{", "damaged"), ("{}", "damaged")])
def test_a_file_that_is_no_tokeniser(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError, match=f"tokenizer.json: {words}"):
        load_codec(tmp_path / "tokenizer.json")

"""Tokenisers of artifacts: what they are turned into for speed gives the same ids."""

import json

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from service.artifact import read_artifact
from service.text.tokenizer import TextCodec
from tests.conftest import ROOT

LANGID = read_artifact(ROOT / "models" / "langid")
CODEC = TextCodec(LANGID.tokenizer, LANGID.manifest)
AS_TRAINED = Tokenizer.from_str(LANGID.tokenizer.read_text("utf-8"))
AS_TRAINED.encode_special_tokens = True


@given(st.text(), st.sampled_from(["", "<unk>", "<eos>", "e\u0301", "\r\n \u2028", "İß", "👍🏽", "東京"]))
def test_characters_have_the_ids_of_the_trained_tokenizer(text: str, odd: str) -> None:
    for one in (text, f"{text}{odd} {text}", f" {odd}\n"):
        assert CODEC.encode([one], [], append_eos=False) == [AS_TRAINED.encode(one, add_special_tokens=False).ids]


TRANSLATOR = read_artifact(ROOT / "models" / "translate-en-de-fr-es")
WORDS = TextCodec(TRANSLATOR.tokenizer, TRANSLATOR.manifest)
WORDS_AS_TRAINED = Tokenizer.from_str(TRANSLATOR.tokenizer.read_text("utf-8"))
WORDS_AS_TRAINED.encode_special_tokens = True


@given(
    st.lists(st.text() | st.text("aZé'tsßéŒ ſ0²½_.,-¿€…\u2010\u00a0\u0301")),
    st.sampled_from(["", " <2de>", "I'll don't", "x" * 50]),
)
def test_words_have_the_ids_of_the_trained_tokenizer(words: list[str], odd: str) -> None:
    for one in (" ".join(words), f"{odd}{' '.join(words)}", f"{odd} "):
        assert WORDS.encode([one], [], append_eos=False) == [WORDS_AS_TRAINED.encode(one, add_special_tokens=False).ids]


def test_common_texts_are_looked_up() -> None:
    for lookup, texts in (
        (CODEC._lookup, ["Hello World!", "Привет, мир", "নমস্কার, কেমন আছেন?"]),
        (WORDS._lookup, ["It's 5 o'clock.", "»Größer«, sagte er – für 3 €…"]),
    ):
        assert lookup is not None
        for text in texts:
            assert lookup(text) is not None, text
            assert lookup(f"{text} ") is None


def test_a_tokenizer_by_characters_needs_no_regular_expression() -> None:
    assert json.loads(LANGID.tokenizer.read_text("utf-8"))["pre_tokenizer"]["type"] == "Split"
    assert CODEC._source.pre_tokenizer is None

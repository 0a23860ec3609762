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


def test_a_tokenizer_by_characters_needs_no_regular_expression() -> None:
    assert json.loads(LANGID.tokenizer.read_text("utf-8"))["pre_tokenizer"]["type"] == "Split"
    assert CODEC._source.pre_tokenizer is None

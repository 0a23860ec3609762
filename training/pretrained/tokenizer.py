"""The tokenizer of a pretrained encoder: a file of the `tokenizers` library that adds its special tokens itself."""

import json
from typing import NamedTuple

from tokenizers import Tokenizer

from training.pretrained.checkpoint import HfCheckpoint, ImportRefused

FILE = "tokenizer.json"
PAD_NAMES, UNKNOWN_NAMES = ("[PAD]", "<pad>"), ("[UNK]", "<unk>")


class Frame(NamedTuple):
    """The ids of special tokens: padding, unknown, the one before a text, the one after it, and those within a pair.

    `typed`: whether the second text of a pair has a type (segment) of its own.
    """

    pad: int
    unk: int
    begin: int
    end: int
    separator: list[int]  # between two texts; empty if the tokenizer does not join pairs
    typed: bool


def read_tokenizer(checkpoint: HfCheckpoint, vocabulary: int) -> Tokenizer:
    """Return the tokenizer of a checkpoint, without truncation and padding.

    Raises:
        ImportRefused: it is missing or damaged, does not fit the vocabulary of the embedding, or adds other special
            tokens than one before and one after a text.
    """
    path = checkpoint.path / FILE
    if not path.is_file():
        raise ImportRefused(
            f"{checkpoint.path}: {FILE} is missing; write it where the checkpoint works: "
            "AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER)"
        )
    try:
        tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
    except Exception as error:  # the library raises plain Exception for every kind of damage
        raise ImportRefused(f"{path}: not a tokenizer file: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    highest = max(tokenizer.get_vocab().values(), default=0)
    if highest >= vocabulary:
        raise ImportRefused(
            f"{path}: the tokenizer has {highest + 1} tokens, but the embedding has {vocabulary}; the files do not "
            "belong together"
        )
    special = tokenizer.encode("").ids
    if len(special) != 2:
        raise ImportRefused(
            f"{path}: the tokenizer adds {len(special)} special tokens to a text; only one before and one after it can "
            "be imported"
        )
    return tokenizer


def frame(tokenizer: Tokenizer) -> Frame:
    """Return the special tokens of a tokenizer that adds one before and one after a text."""
    begin, end = tokenizer.encode("").ids
    found = [tokenizer.token_to_id(name) for name in PAD_NAMES]
    pad = next((id for id in found if id is not None), end)  # no result depends on what padding is
    unknown = json.loads(tokenizer.to_str())["model"].get("unk_token")
    named = [tokenizer.token_to_id(name) for name in ([unknown] if unknown else UNKNOWN_NAMES)]
    pair = tokenizer.encode("", "")
    joins = len(pair.ids) > 2 and (pair.ids[0], pair.ids[-1]) == (begin, end)
    separator = pair.ids[1:-1] if joins else []
    return Frame(pad, next((id for id in named if id is not None), pad), begin, end, separator, 1 in pair.type_ids)

"""Token ids by dictionary, for the texts that need nothing else: the same ids as the tokenizer's in a fraction of the
time.

A tokenizer of the `tokenizers` library normalises a text, splits it into words by a regular expression, and computes
with every character of every word again each time. Most texts consist of characters that normalisation does not touch
and of words that were seen before. `token_lookup` returns a function that gives the ids of such a text, or None for
every other one, which the caller leaves to the tokenizer.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

TokenLookup = Callable[[str], list[int] | None]

# The splitter of a tokenizer by characters, as the training writes it.
CHARACTERS = {"type": "Split", "pattern": {"Regex": "(?m:.)"}, "behavior": "Isolated", "invert": False}
_NFC, _LOWERCASE = {"type": "NFC"}, {"type": "Lowercase"}
_ONE_SPACE = {"type": "Replace", "pattern": {"Regex": r"\s*\z|\A\s*|\s+"}, "content": " "}
# White space, invisible characters and unassigned ones: a text with one of them is left to the tokenizer.
_ODD_CATEGORIES = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Cn", "Co"})
_SIGMA = "Σ"  # has another lower case at the end of a word
_NEIGHBOUR = "中"  # a character that never changes beside another one

MAX_WORDS = 32_768  # remembered; a few megabytes
MAX_WORD_LENGTH = 40  # characters of a word that is remembered
# Letters, digits and punctuation of European languages. NFC leaves them as they are, and Python's regular expressions
# have the same letters and digits among them as those of the tokenizer.
_PLAIN = re.compile("[ -~¡-±´-¸º»¿-ɏ\u2010-\u2027\u2030-\u203e€]+")
_WORD = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+")


def token_lookup(tokenizer: Tokenizer, table: dict[str, Any]) -> TokenLookup | None:
    """Return the lookup for a tokenizer that was loaded from the file `table`; None if it is of another kind."""
    model = table["model"]
    if not all(token["special"] for token in table.get("added_tokens", ())):
        return None  # they would have to be found in the text
    steps = _normaliser_steps(table.get("normalizer"))
    splitter = table.get("pre_tokenizer")
    if model["type"] == "WordLevel" and splitter == CHARACTERS:
        known = steps[:1] == [_NFC] and steps[1:] in ([], [_LOWERCASE], [_ONE_SPACE], [_LOWERCASE, _ONE_SPACE])
        return CharacterLookup(tokenizer, model["vocab"]).ids if known else None
    options = {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}
    if model["type"] == "BPE" and not model.get("dropout") and steps in ([], [_NFC]):
        return WordLookup(tokenizer).ids if splitter and options.items() <= splitter.items() else None
    return None


def _normaliser_steps(normaliser: dict[str, Any] | None) -> list[dict[str, Any]]:
    if normaliser is None:
        return []
    return list(normaliser["normalizers"]) if normaliser["type"] == "Sequence" else [normaliser]


class CharacterLookup:
    """The ids of a tokenizer by characters, whose normalisation is NFC, lower case and single spaces at most."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: Iterable[str]) -> None:
        def ids(texts: list[str]) -> list[list[int]]:
            return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

        characters = {case for piece in vocabulary for case in (piece, piece.upper()) if len(case) == 1}
        found = [c for c in sorted(characters) if c == " " or _is_ordinary(c)]
        [around] = ids([2 * _NEIGHBOUR])
        edge = (len(around) - 2) // 2  # tokens before and after the text: those of spaces
        self._before, self._after = around[:edge], around[edge + 2 :]
        neighbour = around[edge]
        self._ids: dict[str, int] = {
            c: one[edge + 1]
            for c, one in zip(found, ids([f"{_NEIGHBOUR}{c}{_NEIGHBOUR}" for c in found]), strict=True)
            if len(one) == len(around) + 1 and one[edge] == one[edge + 2] == neighbour
        }

    def ids(self, text: str) -> list[int] | None:
        """Return the ids of a text in NFC, of known characters, with single spaces between its words."""
        if not text or text[0] == " " or text[-1] == " " or "  " in text:
            return None
        if not text.isascii() and not unicodedata.is_normalized("NFC", text):
            return None
        try:
            return [*self._before, *map(self._ids.__getitem__, text), *self._after]
        except KeyError:
            return None


def _is_ordinary(character: str) -> bool:
    return unicodedata.category(character) not in _ODD_CATEGORIES and character != _SIGMA


class WordLookup:
    """The ids of a byte-level BPE tokenizer: merges never cross the words of its splitter."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._model, self._bytes = tokenizer.model, ByteLevel(add_prefix_space=False, use_regex=False)
        self._ids: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int] | None:
        """Return the ids of a text of plain characters with single spaces between its words."""
        if "  " in text or text[:1] == " " or text[-1:] == " " or not _PLAIN.fullmatch(text):
            return None
        known, ids = self._ids, []
        for word in _WORD.findall(f" {text}"):
            found = known.get(word)
            ids += self._learn(word) if found is None else found
        return ids

    def _learn(self, word: str) -> list[int]:
        [(written, _)] = self._bytes.pre_tokenize_str(word)
        ids = [token.id for token in self._model.tokenize(written)]
        if len(word) <= MAX_WORD_LENGTH:
            if len(self._ids) >= MAX_WORDS:
                self._ids.clear()
            self._ids[word] = ids
        return ids

"""Placeholder tokens: reserved vocabulary entries that a translation model learns to copy.

A service puts a placeholder in place of a text that must come through unchanged, such as an address or inline code. A
model copies only what training taught it to copy, so `insert_placeholders` shows it pairs whose common names, numbers,
addresses and identifiers became the same placeholder on both sides.
"""

import json
import re
from typing import Any

import numpy as np
from tokenizers import Tokenizer, pre_tokenizers

MAX_PLACEHOLDERS = 64  # as many as the last byte of the UTF-8 form of U+E000 and the following has values
MAX_IN_A_PAIR = 4
_FIRST = 0xE000  # of the Private Use Area, which no text of a corpus should contain
# Around a pair's text: where nothing is common to both sides, the placeholder is added.
_FORMS = ("{1} {0}", "{0} {1}", "{0} ({1})", "{1}: {0}", "({1}) {0}", '"{1}" {0}')
_CHUNK = re.compile(r"\S+")
_OPENING, _CLOSING = "([{<\"'«»“”„‘’¿¡*", ")]}>\"'«»“”„‘’.,;:!?…*"
_MIN_NAME_LETTERS = 3  # shorter capitalised words, such as "In", are seldom names


def placeholders(count: int) -> list[str]:
    """Return the placeholders, one character each."""
    return [chr(_FIRST + i) for i in range(count)]


def add_placeholders(tokenizer: Tokenizer, count: int) -> Tokenizer:
    """Return a byte-level BPE tokenizer with a token for each placeholder behind its other entries.

    The placeholders are pieces like others, made by merging their bytes, so that the spaces around them come through
    tokenizing and decoding. All have their first two bytes in common, which need an entry too: the vocabulary grows by
    `count` + 1.
    """
    table: dict[str, Any] = json.loads(tokenizer.to_str())
    vocabulary, merges = table["model"]["vocab"], table["model"]["merges"]
    to_pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str
    pieces = [to_pieces(placeholder)[0][0] for placeholder in placeholders(count)]  # a character for each byte
    for piece in (pieces[0][:2], *pieces):
        merges.append([piece[:-1], piece[-1]])
        vocabulary[piece] = len(vocabulary)
    return Tokenizer.from_str(json.dumps(table))


def insert_placeholders(
    sources: list[str],
    targets: list[str],
    count: int,
    share: float,
    generator: np.random.Generator,
    most: int = MAX_IN_A_PAIR,
) -> tuple[list[str], list[str]]:
    """Return the pairs with placeholders, out of `count`, in that share of them: one to `most` in a pair."""
    sources, targets = list(sources), list(targets)
    symbols = placeholders(count)
    for i in np.flatnonzero(generator.random(len(sources)) < share).tolist():
        sources[i], targets[i] = _insert_into_pair(sources[i], targets[i], symbols, generator, most)
    return sources, targets


def _insert_into_pair(
    source: str, target: str, symbols: list[str], generator: np.random.Generator, most: int
) -> tuple[str, str]:
    """Replace one to `most` texts that both sides have; where there are none, add a placeholder."""
    common = common_spans(source, target)
    if not common:
        form, symbol = _FORMS[generator.integers(len(_FORMS))], symbols[generator.integers(len(symbols))]
        return form.format(source, symbol), form.format(target, symbol)
    count = min(len(common), len(symbols), int(generator.integers(1, most, endpoint=True)))
    chosen = sorted(generator.choice(len(common), count, replace=False).tolist())
    # In ascending order in the source, which is the order in which a service uses them.
    drawn = sorted(generator.choice(len(symbols), count, replace=False).tolist())
    replaced = [(common[i], symbols[j]) for i, j in zip(chosen, drawn, strict=True)]
    source = _replace(source, [(*spans[0], symbol) for spans, symbol in replaced])
    return source, _replace(target, sorted((*spans[1], symbol) for spans, symbol in replaced))


def _replace(text: str, spans: list[tuple[int, int, str]]) -> str:
    """Replace spans, which are in order."""
    for start, end, symbol in reversed(spans):
        text = text[:start] + symbol + text[end:]
    return text


def common_spans(source: str, target: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the spans in source and target of the names, numbers and identifiers that occur once on both sides.

    Neighbouring ones that are joined by the same space on both sides are one: "10 km", "Visual Studio".
    """
    ours, theirs = _entities(source), _entities(target)
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for text, span in ours.items():
        other = theirs.get(text)
        if span is None or other is None:
            continue
        if found and all(
            after[0] == before[1] + 1 and side[before[1]] == " "
            for side, before, after in zip((source, target), found[-1], (span, other), strict=True)
        ):
            first = found.pop()
            span, other = (first[0][0], span[1]), (first[1][0], other[1])
        found.append((span, other))
    return found


def _entities(text: str) -> dict[str, tuple[int, int] | None]:
    """Return the words that look like names, numbers or identifiers, with their spans; None if one occurs twice."""
    found: dict[str, tuple[int, int] | None] = {}
    for match in _CHUNK.finditer(text):
        start, end = match.span()
        while start < end and text[start] in _OPENING:
            start += 1
        while end > start and text[end - 1] in _CLOSING and not text.startswith("()", end - 2):
            end -= 1
        word = text[start:end]
        if _is_entity(word):
            found[word] = None if word in found else (start, end)
    return found


def _is_entity(word: str) -> bool:
    """Return whether a word is one that translations often keep: with a digit, a symbol, a capital, or not Latin."""
    if any(c.isdigit() or c in "_@/\\=%$€£#" for c in word) or "()" in word or "." in word[1:-1]:
        return True
    if any(c > "\u02af" and c.isalpha() for c in word):
        return True
    letters = sum(map(str.isalpha, word))
    return letters >= 2 and (any(map(str.isupper, word[1:])) or (word[0].isupper() and letters >= _MIN_NAME_LETTERS))

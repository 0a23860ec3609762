"""The tokenisers of an artifact: source text to the ids that the encoder reads, target ids back to text.

`tokenizer.json` is a file of the `tokenizers` library, or an object {"source": ..., "target": ...} of two such files.
With the member "pieces" in that object, ids are looked up by piece, see `IdsOfPieces`.
"""

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

# Without this, the library starts threads even for a single text, and under load these have to wait for a core.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
from tokenizers import Encoding, Tokenizer  # noqa: E402

from service.artifact import ArtifactError, Manifest
from service.text.token_lookup import CHARACTERS, TokenLookup, token_lookup

# Up to this length, tokenising takes less time than handing the text to another thread.
MAX_INLINE_CHARACTERS = 2000
_SENTENCE_END = frozenset(".!?…。！？")


class TokenizedText(NamedTuple):
    """The token ids of a text, and the span of characters that each token covers."""

    ids: list[int]
    spans: list[tuple[int, int]]


class IdsOfPieces:
    """Ids of a model whose pieces come from a SentencePiece model and whose ids come from a vocabulary of both sides.

    The vocabulary has `count` ids; the tokenizer numbers further pieces of its own behind them, which are unknown to
    the model. A vocabulary entry that the tokenizer cannot produce has a name that ends with a space: if the tokenizer
    finds it as unknown characters, it gets that entry's id.
    """

    def __init__(self, tokenizer: Tokenizer, count: int, unknown: int) -> None:
        self._count, self._unknown = count, unknown
        vocabulary = tokenizer.get_vocab(with_added_tokens=False).items()
        self._others = {piece[:-1]: id for piece, id in vocabulary if piece.endswith(" ") and id < count}

    def of(self, encoding: Encoding) -> list[int]:
        """Return the model's ids of a tokenised text."""
        ids: list[int] = encoding.ids
        if self._unknown not in ids and max(ids, default=0) < self._count:
            return ids
        pairs = zip(ids, encoding.tokens, strict=True)
        return [self._id(id, piece) if id == self._unknown or id >= self._count else id for id, piece in pairs]

    def _id(self, id: int, piece: str) -> int:
        return self._others.get(piece, self._unknown) if id == self._unknown else self._unknown


class TextCodec:
    """Source and target tokeniser of an artifact, and its special tokens."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        """Load a `tokenizer.json`.

        Raises:
            ArtifactError: the file is missing or is not a tokenizer file.
        """
        try:
            text = path.read_text("utf-8")
            sides = json.loads(text)
            pieces = sides.get("pieces")
            self._lookup: TokenLookup | None = None
            if "source" in sides:
                self._source, self._target = (Tokenizer.from_str(json.dumps(sides[s])) for s in ("source", "target"))
            else:
                self._source = self._target = Tokenizer.from_str(json.dumps(_faster(sides)))
                self._lookup = token_lookup(self._source, sides)
        except Exception as error:  # the library raises plain Exception for every kind of damage
            raise ArtifactError(f"{path}: not a tokenizer file: {error}") from None
        # "<eos>" in a text means these five characters, not the special token.
        self._source.encode_special_tokens = self._target.encode_special_tokens = True
        self._special_tokens, self._manifest = manifest.special_tokens, manifest
        # The fast variant tells ids alone, without pieces and spans.
        self._encode_batch = self._source.encode_batch if pieces else self._source.encode_batch_fast
        self._source_ids, self._target_ids = (
            IdsOfPieces(tokenizer, pieces, manifest.special_tokens.unk).of if pieces else _ids
            for tokenizer in (self._source, self._target)
        )

    def encode(self, texts: list[str], prefix: list[int], append_eos: bool) -> list[list[int]]:
        """Tokenise source texts: the prefix, the ids of the text, and EOS if `append_eos`."""
        suffix = [self._special_tokens.eos] if append_eos else []
        return [prefix + ids + suffix for ids in self._ids_of(texts)]

    def _ids_of(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of source texts; those that cannot be looked up are tokenised in one batch."""
        found = [None] * len(texts) if self._lookup is None else list(map(self._lookup, texts))
        others = [text for text, ids in zip(texts, found, strict=True) if ids is None]
        if not others:
            return found  # type: ignore[return-value] # none of them is None
        encoded = iter(self._encode_batch(others, add_special_tokens=False))
        return [self._source_ids(next(encoded)) if ids is None else ids for ids in found]

    def tokenise_pairs(self, texts: list[str], translations: list[str]) -> list[tuple[TokenizedText, TokenizedText]]:
        """Tokenise texts and their translations, pair by pair, without special tokens."""
        sides = (self._source, self._source_ids, texts), (self._target, self._target_ids, translations)
        sources, targets = (
            [TokenizedText(ids(e), e.offsets) for e in tokenizer.encode_batch(side, add_special_tokens=False)]
            for tokenizer, ids, side in sides
        )
        return list(zip(sources, targets, strict=True))

    def tokenise_sources(self, texts: list[str]) -> list[TokenizedText]:
        """Tokenise source texts, without special tokens."""
        encoded = self._source.encode_batch(texts, add_special_tokens=False)
        return [TokenizedText(self._source_ids(encoding), encoding.offsets) for encoding in encoded]

    def decode_source(self, ids: list[int], skip_special_tokens: bool) -> str:
        """Detokenise source ids. A tokenizer without a decoder has all characters in its tokens, spaces too."""
        if self._source.decoder is not None:
            return str(self._source.decode(ids, skip_special_tokens=skip_special_tokens))
        left_out = self._special_ids if skip_special_tokens else ()
        return "".join(self.source_token_text(id) for id in ids if id not in left_out)

    def source_token_text(self, token: int) -> str:
        """Return a source token as the vocabulary spells it; an unknown id gives an empty string."""
        return self._source.id_to_token(token) or ""

    @property
    def source_vocabulary(self) -> int:
        """The number of source tokens, special ones included."""
        return int(self._source.get_vocab_size())

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        added = self._source.get_added_tokens_decoder()
        return frozenset(id for id, token in added.items() if token.special)

    def decode(self, ids: list[list[int]]) -> list[str]:
        """Detokenise target ids; special tokens are left out."""
        return self._target.decode_batch(ids, skip_special_tokens=True)

    def target_ids(self, text: str) -> list[int]:
        """Tokenise a target text, without special tokens."""
        return self._target_ids(self._target.encode(text, add_special_tokens=False))

    @cached_property
    def digit_tokens(self) -> tuple[int, ...]:
        """The ids of target tokens with a digit in them."""
        return tuple(id for id, text in enumerate(self._token_texts()) if any(map(str.isdecimal, text)))

    @cached_property
    def closing_tokens(self) -> tuple[int, ...]:
        """The ids of target tokens that can end a sentence: punctuation with a full stop, "!" or "?" in it."""
        return tuple(
            id
            for id, text in enumerate(self._token_texts())
            if not _SENTENCE_END.isdisjoint(text) and not any(map(str.isalnum, text))
        )

    def _token_texts(self) -> list[str]:
        return self.decode([[id] for id in range(self._manifest.vocabulary)])

    def token_text(self, token: int) -> str:
        """Return a target token as the vocabulary spells it; an unknown id gives an empty string."""
        return self._target.id_to_token(token) or ""


def fitting_lengths(first: int, second: int, room: int) -> tuple[int, int]:
    """Return to how many tokens two texts are cut so that both together have at most `room`: the longer one first.

    It is the rule `longest_first` of the `tokenizers` library, which classifiers of pairs were trained with.
    """
    if first + second <= room:
        return first, second
    shorter, longer = sorted([first, second])
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    return (longer, shorter) if first > second else (shorter, longer)


def _ids(encoding: Encoding) -> list[int]:
    ids: list[int] = encoding.ids
    return ids


def _faster(table: dict[str, Any]) -> dict[str, Any]:
    """Return a tokenizer file in a form that gives the same ids in less time.

    BPE without merges looks every character up, as words of one character are; it needs no regular expression, so that
    a text takes less than half the time.
    """
    model = table["model"]
    if table.get("pre_tokenizer") != CHARACTERS or model["type"] != "WordLevel":
        return table
    return table | {
        "pre_tokenizer": None,
        "model": {"type": "BPE", "unk_token": model["unk_token"], "vocab": model["vocab"], "merges": []},
    }

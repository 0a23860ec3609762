"""Text to the ids that an artifact's graphs read, and target ids back to text.

`tokenizer.json` is the `tokenizers` library's own file, or an object {"source": ..., "target": ...} of two of them.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

# The library would have other threads tokenise, even a single text; at load these have to wait for a core.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
from tokenizers import Tokenizer  # noqa: E402

from service.artifact import ArtifactError, Manifest

MAX_INLINE_CHARACTERS = 2000  # characters: tokenised sooner than they could be handed to another thread


class TokenizedText(NamedTuple):
    """A text's tokens, and the characters from a to b that each stands for."""

    ids: list[int]
    spans: list[tuple[int, int]]


class TextCodec:
    """Both tokenisers of an artifact, and the marks around a sequence."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        try:
            text = path.read_text("utf-8")
            sides = json.loads(text)
            if "source" in sides:
                self._source, self._target = (Tokenizer.from_str(json.dumps(sides[s])) for s in ("source", "target"))
            else:
                self._source = self._target = Tokenizer.from_str(text)
        except Exception as error:  # the library raises plain Exception for every kind of damage
            raise ArtifactError(f"{path}: not a tokenizer file: {error}") from None
        # A text that spells "<eos>" means those five characters, not the mark.
        self._source.encode_special_tokens = self._target.encode_special_tokens = True
        self._marks = manifest.special_tokens

    def encode(self, texts: list[str], prefix: list[int], append_eos: bool) -> list[list[int]]:
        """Texts as sources: prefix + ids, and the end mark if `append_eos`."""
        suffix = [self._marks.eos] if append_eos else []
        encoded = self._source.encode_batch_fast(texts, add_special_tokens=False)
        return [prefix + encoding.ids + suffix for encoding in encoded]

    def tokenize_pairs(self, texts: list[str], translations: list[str]) -> list[tuple[TokenizedText, TokenizedText]]:
        """Texts and their translations, pair by pair, without marks and with the place of each token."""
        sides = (self._source, texts), (self._target, translations)
        sources, targets = (
            [TokenizedText(e.ids, e.offsets) for e in side.encode_batch(given, add_special_tokens=False)]
            for side, given in sides
        )
        return list(zip(sources, targets, strict=True))

    def decode(self, ids: list[list[int]]) -> list[str]:
        """Target ids as text, marks left out."""
        return self._target.decode_batch(ids, skip_special_tokens=True)

    def target_ids(self, text: str) -> list[int]:
        """Text as the decoder would write it, without marks."""
        ids: list[int] = self._target.encode(text, add_special_tokens=False).ids
        return ids

    def token_text(self, token: int) -> str:
        """A target token as the vocabulary spells it."""
        return self._target.id_to_token(token) or ""

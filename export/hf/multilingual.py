"""The tokenizers of multilingual translators: M2M-100, NLLB and mBART-50.

Their source begins with the token of its language, and each translation with that of the target language, which the
decoder is made to write first.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.hf.generation import Generation
from export.hf.marian import VOCABULARY, read_vocabulary
from export.hf.sentencepiece import sentencepiece_tokenizer
from service.artifact import Direction, SpecialTokens
from service.text.languages import match_language
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused

TOKENIZER, SENTENCEPIECE = "tokenizer.json", "sentencepiece.bpe.model"
LANGUAGE = re.compile(r"[a-z]{2,3}_[A-Za-z]{2,4}")  # such as deu_Latn (NLLB) or de_DE (mBART)


class MultilingualTokenizers:
    """The tokenizer of a checkpoint, which both sides share, and the directions that were asked for.

    Raises:
        ImportRefused: files are missing or damaged or do not fit the embedding, or the model lacks a language.
    """

    def __init__(self, checkpoint: HfCheckpoint, languages: list[tuple[str, str]], generation: Generation) -> None:
        self._checkpoint, self.never = checkpoint, list(generation.never)
        self._reference = _load(checkpoint)
        self.languages = _languages(self._reference)
        size = int(checkpoint.get("vocab_size"))
        if len(self._reference) > size:
            raise ImportRefused(
                f"{checkpoint.path}: the tokenizer has {len(self._reference)} tokens, but the embedding has {size}; "
                "the files do not belong together"
            )
        self.directions = self._directions(languages, generation)
        end = int(checkpoint.get("eos_token_id"))
        self._check_frame(end)
        start = generation.start if generation.start is not None else end
        self.special_tokens = SpecialTokens(
            pad=int(checkpoint.get("pad_token_id")), unk=int(self._reference.unk_token_id), bos=start, eos=end
        )

    def _directions(self, languages: list[tuple[str, str]], generation: Generation) -> list[Direction]:
        path, codes = self._checkpoint.path, ", ".join(self.languages)
        if not languages:
            raise ImportRefused(
                f"{path}: it translates between {len(self.languages)} languages; give directions, for example "
                f"--languages en-de, or languages, for example --languages en de fr: {codes}"
            )
        found = {name: match_language(name, self.languages) for pair in languages for name in pair}
        if missing := [name for name, code in found.items() if code is None]:
            raise ImportRefused(f"{path}: it does not have the language {missing[0]}; it has {codes}")
        ids = {name: self.languages[str(code)] for name, code in found.items()}
        if generation.first is not None and (wrong := [t for _, t in languages if ids[t] != generation.first]):
            only = [code for code, id in self.languages.items() if id == generation.first]
            raise ImportRefused(
                f"{path}: it translates to {', '.join(only) or generation.first} alone (forced_bos_token_id), not to "
                f"{wrong[0]}"
            )
        return [
            Direction(source=source, target=target, prefix=[ids[source]], target_prefix=[ids[target]])
            for source, target in languages
        ]

    def _check_frame(self, end: int) -> None:
        [empty] = self.reference_ids([""], self.directions[0])
        if empty != [*self.directions[0].prefix, end]:
            tokens = " ".join(self._reference.convert_ids_to_tokens(empty))
            raise ImportRefused(
                f"{self._checkpoint.path}: the tokenizer adds {tokens} to a source; only the language before and the "
                "end token after it can be imported (mBART-50's way, not mBART-25's; legacy_behaviour must be off)"
            )

    def save(self, path: Path) -> None:
        """Write the artifact's tokenizer.json."""
        if hasattr(self._reference, "backend_tokenizer"):
            tokenizer = self._reference.backend_tokenizer
            tokenizer.no_truncation()
            tokenizer.no_padding()
            path.write_text(tokenizer.to_str(), "utf-8")
            return
        ids = read_vocabulary(self._checkpoint)
        tags = {f"__{code}__": id for code, id in self.languages.items()}
        ids |= tags
        size = int(self._checkpoint.get("vocab_size"))
        special = [name for name in self._reference.all_special_tokens if name in ids]
        # Behind the languages are tokens that only make the embedding larger.
        unused = {f"madeupword{id}": id for id in range(max(ids.values()) + 1, size)}
        special += [name for name in (*tags, *unused) if name not in special]
        ids |= unused
        tokenizer = sentencepiece_tokenizer(self._checkpoint.file(SENTENCEPIECE), ids, special)
        side = json.loads(tokenizer.to_str())
        path.write_text(json.dumps({"pieces": len(ids), "source": side, "target": side}, ensure_ascii=False), "utf-8")

    def reference_ids(self, texts: Sequence[str], direction: Direction) -> list[list[int]]:
        """Return the ids of transformers' own tokenizer."""
        codes = {id: code for code, id in self.languages.items()}
        self._reference.src_lang = codes[direction.prefix[0]]
        return [self._reference(text)["input_ids"] for text in texts]


def _load(checkpoint: HfCheckpoint) -> Any:
    from transformers import AutoTokenizer

    if not (checkpoint.path / TOKENIZER).is_file():
        checkpoint.file(SENTENCEPIECE)
    try:
        found = AutoTokenizer.from_pretrained(checkpoint.path, split_special_tokens=True)
    except Exception as error:  # of several kinds, by what is missing or damaged
        files = f"{TOKENIZER}, or {SENTENCEPIECE} and (M2M-100) {VOCABULARY}"
        raise ImportRefused(f"{checkpoint.path}: its tokenizer cannot be loaded from {files}: {error}") from None
    return found


def _languages(tokenizer: Any) -> dict[str, int]:
    """Return the languages of a tokenizer, as it names them, and the ids of their tokens."""
    if not hasattr(tokenizer, "backend_tokenizer"):
        return dict(tokenizer.lang_code_to_id)
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    return {token.content: id for id, token in sorted(added.items()) if LANGUAGE.fullmatch(token.content)}

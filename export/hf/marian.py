"""The tokenizers of MarianMT checkpoints: OPUS-MT and others in the layout of transformers' MarianMTModel."""

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from export.hf.generation import Generation
from export.hf.sentencepiece import sentencepiece_tokenizer
from service.artifact import Direction, SpecialTokens
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused

VOCABULARY = "vocab.json"


class MarianTokenizers:
    """The tokenizers of a checkpoint and its vocabulary, which both sides share.

    Raises:
        ImportRefused: a file is missing or damaged, the vocabulary does not fit the embedding, the languages are
            unknown, or the model has no tag for a target language.
    """

    def __init__(self, checkpoint: HfCheckpoint, languages: list[tuple[str, str]], generation: Generation) -> None:
        if checkpoint.config.get("separate_vocabs") or (checkpoint.path / "target_vocab.json").is_file():
            raise ImportRefused(f"{checkpoint.path}: separate vocabularies cannot be imported, only a shared one")
        if generation.first is not None:
            raise ImportRefused(
                f"{checkpoint.path}: forced_bos_token_id is {generation.first}; MarianMT translators whose first "
                "token is forced cannot be imported"
            )
        self._checkpoint, self._ids = checkpoint, read_vocabulary(checkpoint)
        if len(self._ids) != (size := int(checkpoint.get("vocab_size"))):
            raise ImportRefused(
                f"{checkpoint.path / VOCABULARY}: has {len(self._ids)} pieces, but the embedding has {size}; both must "
                "be the same"
            )
        special = [name for name in ("</s>", "<unk>", "<pad>") if name in self._ids] + self.language_tags
        sides = [checkpoint.file(name) for name in ("source.spm", "target.spm")]
        self.source, self.target = (sentencepiece_tokenizer(file, self._ids, special) for file in sides)
        self.directions = self._directions(languages or guess_languages(checkpoint))
        pad = int(checkpoint.get("pad_token_id"))
        start = int(checkpoint.get("decoder_start_token_id", pad))
        end = int(checkpoint.get("eos_token_id"))
        self.special_tokens = SpecialTokens(pad=pad, unk=self._ids["<unk>"], bos=start, eos=end)
        # transformers never lets MarianMT generate its padding, with which decoding starts.
        self.never = sorted({pad, *generation.never})

    @property
    def language_tags(self) -> list[str]:
        """The tokens such as `>>fra<<` that select the target language."""
        return sorted(piece for piece in self._ids if piece.startswith(">>") and piece.endswith("<<"))

    def _directions(self, languages: list[tuple[str, str]]) -> list[Direction]:
        """Return the directions with their prefix: the tag of the target language, if the model has tags."""
        tags = self.language_tags
        missing = [target for _, target in languages if tags and f">>{target}<<" not in tags]
        if missing:
            raise ImportRefused(f"the model has no tag >>{missing[0]}<<; it has {', '.join(tags)}")
        return [
            Direction(source=source, target=target, prefix=[self._ids[f">>{target}<<"]] if tags else [])
            for source, target in languages
        ]

    def save(self, path: Path) -> None:
        """Write the artifact's tokenizer.json."""
        sides = {"source": self.source, "target": self.target}
        table: dict[str, object] = {name: json.loads(tokenizer.to_str()) for name, tokenizer in sides.items()}
        path.write_text(json.dumps({"pieces": len(self._ids), **table}, ensure_ascii=False), "utf-8")

    def reference_ids(self, texts: Sequence[str], direction: Direction) -> list[list[int]]:
        """Return the ids of transformers' own tokenizer."""
        from transformers import MarianTokenizer

        with warnings.catch_warnings():
            # The tokenizer does not call it.
            warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
            tokenizer = MarianTokenizer.from_pretrained(self._checkpoint.path)
        return [[*direction.prefix, *tokenizer(text)["input_ids"]] for text in texts]


def guess_languages(checkpoint: HfCheckpoint) -> list[tuple[str, str]]:
    """Return the direction that tokenizer_config.json or the checkpoint's name tells.

    Raises:
        ImportRefused: neither tells it.
    """
    file = checkpoint.path / "tokenizer_config.json"
    config = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    if config.get("source_lang") and config.get("target_lang"):
        return [(str(config["source_lang"]), str(config["target_lang"]))]
    if found := re.search(r"(?:^|-)([a-z]{2,3})-([a-z]{2,3})$", checkpoint.path.resolve().name):
        return [(found[1], found[2])]
    raise ImportRefused(f"{checkpoint.path}: its languages are unknown; give them, for example --languages en-de")


def read_vocabulary(checkpoint: HfCheckpoint) -> dict[str, int]:
    """Return the ids of the pieces in vocab.json.

    Raises:
        ImportRefused: it cannot be read.
    """
    path = checkpoint.file(VOCABULARY)
    try:
        ids = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ImportRefused(f"{path}: cannot be read: {error}") from None
    if not isinstance(ids, dict) or not all(type(id) is int for id in ids.values()) or "<unk>" not in ids:
        raise ImportRefused(f"{path}: not an object of pieces and ids with a piece <unk>")
    return ids

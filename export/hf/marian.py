"""MarianMT checkpoints: OPUS-MT and others in the layout of transformers' MarianMTModel."""

import json
from pathlib import Path

from export.hf.sentencepiece import marian_tokenizer
from service.artifact import Direction, SpecialTokens
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused

VOCABULARY = "vocab.json"


class MarianTokenizers:
    """The tokenizers of a checkpoint and its vocabulary, which both sides share.

    Raises:
        ImportRefused: a file is missing or damaged, or the vocabulary does not fit the embedding.
    """

    def __init__(self, checkpoint: HfCheckpoint) -> None:
        if checkpoint.config.get("separate_vocabs") or (checkpoint.path / "target_vocab.json").is_file():
            raise ImportRefused(f"{checkpoint.path}: separate vocabularies cannot be imported, only a shared one")
        self._ids = _vocabulary(checkpoint)
        special = [name for name in ("</s>", "<unk>", "<pad>") if name in self._ids] + self.language_tags
        sides = [checkpoint.file(name) for name in ("source.spm", "target.spm")]
        self.unknown = self._ids["<unk>"]
        self.source, self.target = (marian_tokenizer(file, self._ids, special) for file in sides)

    @property
    def language_tags(self) -> list[str]:
        """The tokens such as `>>fra<<` that select the target language."""
        return sorted(piece for piece in self._ids if piece.startswith(">>") and piece.endswith("<<"))

    def directions(self, languages: list[tuple[str, str]]) -> list[Direction]:
        """Return the directions with their prefix: the tag of the target language, if the model has tags.

        Raises:
            ImportRefused: the model has no tag for a target language.
        """
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


def special_tokens(checkpoint: HfCheckpoint, tokenizers: MarianTokenizers) -> SpecialTokens:
    """Return the special tokens; decoding starts with the token that config.json names, which is the padding."""
    pad = int(checkpoint.get("pad_token_id"))
    start = int(checkpoint.get("decoder_start_token_id", pad))
    return SpecialTokens(pad=pad, unk=tokenizers.unknown, bos=start, eos=int(checkpoint.get("eos_token_id")))


def _vocabulary(checkpoint: HfCheckpoint) -> dict[str, int]:
    path, size = checkpoint.file(VOCABULARY), int(checkpoint.get("vocab_size"))
    try:
        ids = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ImportRefused(f"{path}: cannot be read: {error}") from None
    if not isinstance(ids, dict) or not all(type(id) is int for id in ids.values()) or "<unk>" not in ids:
        raise ImportRefused(f"{path}: not an object of pieces and ids with a piece <unk>")
    if len(ids) != size:
        raise ImportRefused(f"{path}: has {len(ids)} pieces, but the embedding has {size}; both must be the same")
    return ids

"""The folder of a CTranslate2 translator: model, settings, vocabulary, SentencePiece models, and its languages."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from export.hf.sentencepiece import sentencepiece_tokenizer
from service.artifact import Direction, SpecialTokens
from training.pretrained.checkpoint import ImportRefused, read_json

MODEL = "model.bin"
VOCABULARIES = ("shared_vocabulary.json", "shared_vocabulary.txt")
SENTENCEPIECE = (("sentencepiece.model",) * 2, ("source.spm", "target.spm"), ("spm.model",) * 2)
PADDINGS = ("<blank>", "<pad>")


def is_ctranslate2(path: Path) -> bool:
    """Return whether a folder has a model of CTranslate2, itself or in `model/`, as Argos packages have it."""
    return any((path / folder / MODEL).is_file() for folder in (".", "model"))


@dataclass(frozen=True)
class Package:
    """A model folder that has been read except for its weights."""

    path: Path  # as given
    folder: Path  # of the model
    config: dict[str, Any]
    vocabulary: list[str]  # that both sides share
    tokenizers: tuple[Path, Path]  # SentencePiece models of source and target

    @property
    def source_eos(self) -> bool:
        """Whether sources end with the end token."""
        return bool(self.config.get("add_source_eos", False))

    def token(self, kind: str) -> int:
        """Return the id of a special token: unk, bos or eos.

        Raises:
            ImportRefused: the vocabulary does not have it.
        """
        name = str(self.config.get(f"{kind}_token") or {"unk": "<unk>", "bos": "<s>", "eos": "</s>"}[kind])
        return self.id_of(name)

    def id_of(self, name: str) -> int:
        if name not in self.vocabulary:
            raise ImportRefused(f"{self.folder}: the vocabulary has no token {name!r}")
        return self.vocabulary.index(name)

    @property
    def special_tokens(self) -> SpecialTokens:
        """The special tokens; decoding starts with `bos`."""
        pad = next((self.vocabulary.index(name) for name in PADDINGS if name in self.vocabulary), self.token("eos"))
        start = self.id_of(str(self.config.get("decoder_start_token") or "<s>"))
        return SpecialTokens(pad=pad, unk=self.token("unk"), bos=start, eos=self.token("eos"))

    def directions(self, languages: list[tuple[str, str]]) -> list[Direction]:
        """Return the direction, by the command line, metadata.json (Argos) or the folder's name.

        Raises:
            ImportRefused: it is unknown, or there are several.
        """
        found = languages or self._guess()
        if len(found) != 1:
            problem = "a model of CTranslate2 has one direction" if found else "its languages are unknown"
            raise ImportRefused(f"{self.path}: {problem}; give it, for example --languages en-de")
        begin = [self.token("bos")] if self.config.get("add_source_bos") else []
        return [Direction(source=source, target=target, prefix=begin) for source, target in found]

    def _guess(self) -> list[tuple[str, str]]:
        metadata = self.path / "metadata.json"
        table = read_json(metadata) if metadata.is_file() else {}
        if table.get("from_code") and table.get("to_code"):
            return [(str(table["from_code"]), str(table["to_code"]))]
        match = re.search(r"(?:^|[-_])([a-z]{2,3})[-_]([a-z]{2,3})(?:[-_][0-9_.]+)?$", self.path.resolve().name)
        return [(match[1], match[2])] if match else []

    def build_tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        """Return the tokenizers of source and target, with the ids of the vocabulary.

        Raises:
            ImportRefused: a SentencePiece model cannot be read.
        """
        ids = {piece: id for id, piece in enumerate(self.vocabulary)}
        special = [self.vocabulary[id] for id in sorted(set(self.special_tokens.model_dump().values()))]
        special += [name for name in ("<s>", *PADDINGS) if name in ids and name not in special]
        source, target = (sentencepiece_tokenizer(file, ids, special) for file in self.tokenizers)
        return source, target

    def save_tokenizers(self, path: Path) -> None:
        """Write the artifact's tokenizer.json."""
        source, target = (json.loads(tokenizer.to_str()) for tokenizer in self.build_tokenizers())
        table = {"pieces": len(self.vocabulary), "source": source, "target": target}
        path.write_text(json.dumps(table, ensure_ascii=False), "utf-8")

    def reference_pieces(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the pieces of SentencePiece itself."""
        import sentencepiece

        model = sentencepiece.SentencePieceProcessor(model_file=str(self.tokenizers[0]))
        return [list(pieces) for pieces in model.encode(list(texts), out_type=str)]


def read_package(path: Path) -> Package:
    """Read a folder without the weights.

    Raises:
        ImportRefused: a file is missing or damaged, or the two sides have different vocabularies.
    """
    folder = path if (path / MODEL).is_file() else path / "model"
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if any(folder.glob("source_vocabulary.*")) or any(folder.glob("target_vocabulary.*")):
        raise ImportRefused(f"{path}: source and target have different vocabularies; only a shared one can be imported")
    file = next((folder / name for name in VOCABULARIES if (folder / name).is_file()), None)
    if file is None:
        raise ImportRefused(f"{folder}: {' or '.join(VOCABULARIES)} is missing; copy the whole folder of the model")
    places = [folder, path, folder.parent] if folder.name == "model" else [folder]
    for names in SENTENCEPIECE:
        for place in places:
            if all((place / name).is_file() for name in names):
                return Package(path, folder, config, _read_vocabulary(file), (place / names[0], place / names[1]))
    raise ImportRefused(
        f"{path}: its tokenizer is missing: {SENTENCEPIECE[0][0]}, or source.spm and target.spm; copy it beside "
        f"{MODEL} from the model that was converted (others than SentencePiece, such as bpe.model of subword-nmt, "
        "cannot be read)"
    )


def _read_vocabulary(file: Path) -> list[str]:
    try:
        text = file.read_text("utf-8")
        found = json.loads(text) if file.suffix == ".json" else text.splitlines()
    except (OSError, ValueError) as error:
        raise ImportRefused(f"{file}: cannot be read: {error}") from None
    if not isinstance(found, list) or not all(isinstance(piece, str) for piece in found):
        raise ImportRefused(f"{file}: not a list of tokens")
    if len(set(found)) < len(found):
        raise ImportRefused(f"{file}: has a token twice")
    return found

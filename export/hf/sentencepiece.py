"""SentencePiece models as files of the `tokenizers` library, with the ids of a separate vocabulary.

MarianMT splits a text with one SentencePiece model a side, then looks the pieces up in vocab.json, which both sides
share; M2M-100 has one model for both. The library's Unigram model numbers its pieces by their order. So the pieces are
put in the order of vocab.json; an entry that this side does not have becomes a piece that no text can contain (its name
ends with a space), and a piece that vocab.json does not have gets an id behind its last one. MarianMT looks up unknown
characters in vocab.json as well, where the other side's pieces are; service/text/tokenizer.py does the same
(`IdsOfPieces`).

Unigram segmentation: Kudo 2018, "Subword Regularization"; BPE: Sennrich et al. 2016.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from training.pretrained.checkpoint import ImportRefused

UNIGRAM, BPE = 1, 2  # TrainerSpec.ModelType
NORMAL, USER_DEFINED = 1, 4  # ModelProto.SentencePiece.Type
SPACE = "▁"
# Behind the name of a piece that no text may be cut into: a plain space never reaches the model, see the normaliser.
UNMATCHABLE = " "


def sentencepiece_tokenizer(path: Path, ids: Mapping[str, int], special: list[str]) -> Tokenizer:
    """Return the tokenizer of one side.

    `ids` gives the vocabulary's id of each piece, `special` the names of the special tokens.

    Raises:
        ImportRefused: the file is not a Unigram or BPE model, or ids are not 0, 1, 2 ...
    """
    model = _read(path)
    if sorted(ids.values()) != list(range(len(ids))):
        raise ImportRefused(f"vocab.json: its {len(ids)} ids are not the numbers from 0 to {len(ids) - 1}")
    scores = {piece.piece: piece.score for piece in model.pieces if piece.type in (NORMAL, USER_DEFINED)}
    if not scores:
        raise ImportRefused(f"{path}: has no pieces")
    lowest = min(scores.values())
    ordered = sorted(ids, key=lambda piece: ids[piece])
    vocabulary = [(p, scores[p]) if p in scores else (p + UNMATCHABLE, lowest) for p in ordered]
    vocabulary += [(piece, score) for piece, score in scores.items() if piece not in ids]
    if model.trainer_spec.model_type == UNIGRAM:
        tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=ids["<unk>"], byte_fallback=False))
    else:
        numbers = {piece: id for id, (piece, _) in enumerate(vocabulary)}
        unknown = "<unk>" + UNMATCHABLE
        tokenizer = Tokenizer(models.BPE(numbers, _merges(list(scores)), unk_token=unknown, fuse_unk=True))
    tokenizer.normalizer = _normalizer(model.normalizer_spec)
    crosses_words = any(SPACE in piece[1:] for piece in scores)
    prepend = "always" if model.normalizer_spec.add_dummy_prefix else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend, split=not crosses_words)
    names, spaces = decoders.Replace(UNMATCHABLE, ""), decoders.Replace(SPACE, " ")
    ends = decoders.Replace(Regex(r"\A +| +\z"), "")  # decoders.Strip fails on a single space
    tokenizer.decoder = decoders.Sequence([names, spaces, decoders.Fuse(), ends])
    tokenizer.add_special_tokens([AddedToken(name + UNMATCHABLE, special=True) for name in special])
    return tokenizer


def _read(path: Path) -> Any:
    from sentencepiece import sentencepiece_model_pb2 as proto

    model: Any = proto.ModelProto()  # type: ignore[attr-defined]
    try:
        model.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError, which differs between its implementations
        raise ImportRefused(f"{path}: not a SentencePiece model: {error}") from None
    if model.trainer_spec.model_type not in (UNIGRAM, BPE):
        raise ImportRefused(f"{path}: only SentencePiece models of the kinds Unigram and BPE are read")
    return model


def _merges(pieces: list[str]) -> list[tuple[str, str]]:
    """Return the pairs that BPE merges, given its pieces in the order in which they were learned."""
    known = set(pieces)
    halves = ((piece[:i], piece[i:]) for piece in pieces for i in range(1, len(piece)))
    return [(left, right) for left, right in halves if left in known and right in known]


def _normalizer(spec: Any) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(" +"), " "), normalizers.Strip()]
    return normalizers.Sequence(steps)

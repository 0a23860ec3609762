"""Small MarianMT checkpoints with real SentencePiece models and seeded weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sentencepiece
import torch
from transformers import MarianConfig, MarianMTModel

from export import from_hf
from service.artifact import Artifact, read_artifact
from tests.training.pretrained.words import sentences

if TYPE_CHECKING:
    from onnx import ModelProto

    from export.graphs.spec import GraphSpec

BAD_WORD = 23
MarianCheckpoint = Callable[..., Path]


@pytest.fixture(scope="session")
def sentencepiece_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """source.spm and target.spm, trained on different texts, and a vocab.json that lacks some of their pieces."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    pieces: dict[str, None] = {}
    for side, seed, characters in (("source", 1, "äöü"), ("target", 2, "éèñU")):
        texts = sentences(seed) + [f"{c}x{c} {c}" for c in characters] * 20
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_prefix=str(folder / side), vocab_size=90, minloglevel=2,
            character_coverage=1.0, hard_vocab_limit=False,
        )  # fmt: skip
        (folder / f"{side}.model").rename(folder / f"{side}.spm")
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
        pieces |= dict.fromkeys(model.id_to_piece(i) for i in range(3, model.vocab_size()))
    kept = [piece for i, piece in enumerate(pieces) if i % 17 != 5]
    vocabulary = {piece: i for i, piece in enumerate(["</s>", "<unk>", *kept, ">>fra<<", ">>deu<<", "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    return folder


@pytest.fixture(scope="session")
def original(sentencepiece_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MarianMT checkpoint of random weights whose answers differ and sometimes end."""
    folder = tmp_path_factory.mktemp("checkpoints") / "opus-mt-en-deu"
    vocabulary = json.loads((sentencepiece_folder / "vocab.json").read_text("utf-8"))
    pad = vocabulary["<pad>"]
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=len(vocabulary), pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad,
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64, scale_embedding=True,
        activation_function="swish",
    )  # fmt: skip
    model = MarianMTModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
        model.final_logits_bias.normal_(0.0, 0.5)
        # As in a trained model: transformers counts the padding among the candidates, though it is never chosen.
        model.final_logits_bias[0, pad] = -20.0
    model.generation_config.update(
        num_beams=3,
        length_penalty=0.6,
        early_stopping=True,
        bad_words_ids=[[pad], [BAD_WORD]],
        max_length=64,
        renormalize_logits=True,  # as OPUS-MT has it: bad words take no part in probabilities
    )
    model.save_pretrained(folder)
    for name in ("source.spm", "target.spm", "vocab.json"):
        shutil.copy(sentencepiece_folder / name, folder)
    return folder


@pytest.fixture
def marian_checkpoint(original: Path, tmp_path: Path) -> MarianCheckpoint:
    """Return a function that copies the checkpoint; its arguments change config.json."""

    def write(**changes: object) -> Path:
        folder = Path(shutil.copytree(original, tmp_path / original.name))
        table = json.loads((folder / "config.json").read_text("utf-8")) | changes
        (folder / "config.json").write_text(json.dumps(table), "utf-8")
        return folder

    return write


def run_import(arguments: list[str], trace: Callable[["GraphSpec"], "ModelProto"]) -> None:
    """Run the command line with a `to_onnx` that traces each graph once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(from_hf, "to_onnx", trace)
        assert from_hf.main(arguments) == 0


@pytest.fixture
def traced_once(trace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have imports trace each graph once."""
    monkeypatch.setattr(from_hf, "to_onnx", trace)


@pytest.fixture(scope="session")
def imported(original: Path, tmp_path_factory: pytest.TempPathFactory, trace: Any) -> Artifact:
    """The checkpoint, imported from the command line with two directions."""
    folder = tmp_path_factory.mktemp("artifacts") / "Opus MT"
    arguments = [str(original), str(folder), "--languages", "en-deu", "en-fra", "--licence", "CC BY 4.0"]
    run_import(arguments, trace)
    return read_artifact(folder)


@pytest.fixture(scope="session")
def imported_int8(original: Path, tmp_path_factory: pytest.TempPathFactory, trace: Any) -> Artifact:
    """The checkpoint, imported in int8 with rows of references."""
    folder = tmp_path_factory.mktemp("int8")
    rows = zip(sentences(8, 80), sentences(9, 80), strict=True)
    (folder / "rows.tsv").write_text("".join(f"{one}\t{other}\n" for one, other in rows), "utf-8")
    arguments = ["--languages", "en-deu", "--int8", "--data", str(folder / "rows.tsv as en, deu"), "--bound", "100"]
    run_import([str(original), str(folder / "opus"), *arguments], trace)
    return read_artifact(folder / "opus")

"""MarianMT checkpoints in the shape of OPUS-MT, made here: 6 + 6 layers, D 512, swish, a joint vocabulary.

    python -m benchmarks.checkpoints.opus_shape FOLDER [--data data] [--pieces 29000] [--seconds 0]

writes a folder as the hub has them: config.json, generation_config.json, model.safetensors, source.spm, target.spm
and vocab.json. The SentencePiece models are trained on Tatoeba sentences, and the vocabulary joins both. With
--seconds, the model is trained so long, on short sentences, so that its translations stop; otherwise it is random.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

from training.data.corpus import Row, read_corpus

CORPUS, COLUMNS = ["tatoeba/train.en-de.tsv.gz"], ["en", "de"]
SHAPE: dict[str, Any] = {
    "d_model": 512, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 8,
    "decoder_attention_heads": 8, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048, "max_position_embeddings": 512,
    "scale_embedding": True, "activation_function": "swish", "dropout": 0.0, "attention_dropout": 0.0,
}  # fmt: skip
BATCH = 16
LONGEST = 60  # characters of a sentence to train on


def write_tokenizers(folder: Path, rows: Sequence[Row], pieces: int, filler: int) -> int:
    """Write both SentencePiece models and vocab.json, filled up to `filler` entries; return the padding's id."""
    vocabulary: dict[str, None] = dict.fromkeys(["</s>", "<unk>"])
    for side, name in enumerate(("source", "target")):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([row[side] for row in rows]), model_prefix=str(folder / name), vocab_size=pieces,
            character_coverage=1.0, hard_vocab_limit=False, minloglevel=2, normalization_rule_name="nmt_nfkc",
        )  # fmt: skip
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
        (folder / f"{name}.vocab").unlink()
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        vocabulary |= dict.fromkeys(model.id_to_piece(i) for i in range(3, model.vocab_size()))
    # Pieces that neither side has: a corpus of this size supports fewer than OPUS-MT's 58,000.
    vocabulary |= dict.fromkeys(f"▁filler{i}" for i in range(max(0, filler - 1 - len(vocabulary))))
    ids = {piece: i for i, piece in enumerate([*vocabulary, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), "utf-8")
    return ids["<pad>"]


def build(vocabulary: int, shape: dict[str, Any]) -> MarianMTModel:
    """Return a seeded model; the padding is the last token of the vocabulary."""
    torch.manual_seed(1)
    pad = vocabulary - 1
    config = MarianConfig(
        vocab_size=vocabulary, pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad, forced_eos_token_id=0,
        **shape,
    )  # fmt: skip
    model = MarianMTModel(config)
    model.generation_config.update(
        num_beams=4, bad_words_ids=[[pad]], max_length=512, renormalize_logits=True, forced_eos_token_id=0
    )
    return model


def train(model: MarianMTModel, folder: Path, rows: Sequence[Row], seconds: float) -> float:
    """Train on short sentences for so long and return the last loss."""
    tokenizer = MarianTokenizer.from_pretrained(folder)
    short = [row for row in rows if max(map(len, row)) <= LONGEST]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    order = torch.randperm(len(short), generator=torch.Generator().manual_seed(1)).tolist()
    started, loss, update = time.monotonic(), float("nan"), 0
    model.train()
    while time.monotonic() - started < seconds:
        batch = [short[order[(update * BATCH + i) % len(short)]] for i in range(BATCH)]
        inputs = tokenizer([row[0] for row in batch], text_target=[row[1] for row in batch], return_tensors="pt",
                           padding=True)  # fmt: skip
        inputs["labels"][inputs["labels"] == model.config.pad_token_id] = -100
        found = model(**inputs).loss
        torch.autograd.backward(found)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss, update = found.item(), update + 1
    model.eval()
    sys.stderr.write(f"{update} updates in {time.monotonic() - started:.0f} s, loss {loss:.2f}\n")
    return loss


def write_checkpoint(
    folder: Path, rows: Sequence[Row], shape: dict[str, Any], *, pieces: int, vocabulary: int, seconds: float
) -> Path:
    """Write a checkpoint folder and return it; see the module's options."""
    folder.mkdir(parents=True)
    write_tokenizers(folder, rows, pieces, vocabulary)
    config = {"source_lang": "en", "target_lang": "de", "tokenizer_class": "MarianTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    model = build(len(json.loads((folder / "vocab.json").read_text("utf-8"))), shape)
    if seconds:
        train(model, folder, rows, seconds)
    model.save_pretrained(folder)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--pieces", type=int, default=29_000, help="of each SentencePiece model, at most")
    parser.add_argument("--vocabulary", type=int, default=58_101, help="entries of the joint vocabulary, at least")
    parser.add_argument("--seconds", type=float, default=0.0, help="of training")
    options = parser.parse_args()
    rows = read_corpus(CORPUS, COLUMNS, options.data)
    write_checkpoint(
        options.folder, rows, SHAPE, pieces=options.pieces, vocabulary=options.vocabulary, seconds=options.seconds
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

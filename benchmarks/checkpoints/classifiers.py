"""Imported classifiers over HTTP beside transformers' `text-classification` pipeline: ids, labels and scores.

    python -m benchmarks.checkpoints.classifiers [--encoder MINILM] [--data data] [--texts 120] [--lines 5000]
        [--json FILE]

makes checkpoints of BERT, DistilBERT, RoBERTa and ELECTRA in their base or small shape, with seeded weights, and, with
--encoder, one of a real encoder with a seeded head. Each is imported and served; single texts, pairs, and texts above
the limit (cut by both) are classified by both.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from benchmarks.checkpoints.common import batches, mixed_lines, posted
from benchmarks.common.figures import busy_note, write_figures
from benchmarks.http.servers import attendant_server
from export.from_hf import ImportOptions, import_checkpoint
from service.artifact import read_artifact
from service.text.tokenizer import TextCodec

LABELS = {i: f"label{i}" for i in range(5)}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", {}),  # 12 layers of width 768
    "distilbert": ("DistilBert", {}),
    "roberta": ("Roberta", {"vocab_size": 50_000, "pad_token_id": 1, "layer_norm_eps": 1e-5, "type_vocab_size": 1,
                            "max_position_embeddings": 514}),
    "electra": ("Electra", {"embedding_size": 128, "hidden_size": 256, "intermediate_size": 1024,
                            "num_attention_heads": 4}),
}  # fmt: skip
LIMIT = 512


def byte_level_tokenizer(lines: list[str]) -> transformers.PreTrainedTokenizerFast:
    """Return a tokenizer like RoBERTa's, trained on the lines."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    found.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=20_000, special_tokens=special, initial_alphabet=alphabet)
    )
    found.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=found, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>", pad_token="<pad>",
        unk_token="<unk>", mask_token="<mask>", model_max_length=LIMIT,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def checkpoints(options: argparse.Namespace, lines: list[str], folder: Path) -> Iterator[Path]:
    """Write the checkpoints one after the other and yield their folders."""
    labels = {"id2label": LABELS, "label2id": {name: i for i, name in LABELS.items()}}
    word_piece = transformers.AutoTokenizer.from_pretrained(options.encoder, model_max_length=LIMIT)
    for family, (name, shape) in SHAPES.items():
        tokenizer = byte_level_tokenizer(lines) if family == "roberta" else word_piece
        torch.manual_seed(0)
        config = getattr(transformers, f"{name}Config")(**{"vocab_size": len(tokenizer)} | shape | labels)
        model = getattr(transformers, f"{name}ForSequenceClassification")(config)
        yield save(model, tokenizer, folder / f"{family}-seeded")
    torch.manual_seed(0)
    found = transformers.AutoModelForSequenceClassification.from_pretrained(options.encoder, **labels)
    yield save(found, word_piece, folder / "minilm-seeded-head")


@torch.no_grad()
def save(model: Any, tokenizer: Any, folder: Path) -> Path:
    """Write a checkpoint whose head gives different texts different labels."""
    for name, parameter in model.named_parameters():
        if "classifier" in name and parameter.dim() > 1:
            parameter.normal_(0.0, 0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def requests(lines: list[str], count: int) -> dict[str, list[tuple[str, str | None]]]:
    """Return texts, and pairs of them, by kind; the last kinds exceed the limit."""
    singles, seconds = lines[:count], lines[count : 2 * count]
    long = [" ".join(lines[i : i + 60]) for i in range(0, 240, 60)]
    return {
        "single texts": [(text, None) for text in singles],
        "pairs": list(zip(singles, seconds, strict=True)),
        "texts that are cut": [(text, None) for text in long],
        "pairs that are cut": [(long[0], long[1]), (long[2], singles[0]), (singles[1], long[3])],
    }


def compare(checkpoint: Path, lines: list[str], count: int) -> list[dict[str, Any]]:
    """Import and serve a checkpoint; return a row for each kind of request."""
    started, artifact = time.monotonic(), checkpoint.parent / f"{checkpoint.name}-artifact"
    manifest = import_checkpoint(checkpoint, artifact, ImportOptions(checkpoint.name))
    minutes = (time.monotonic() - started) / 60
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    codec = TextCodec(read_artifact(artifact).tokenizer, manifest)
    ids = codec.encode(lines, [manifest.special_tokens.bos], append_eos=True)
    same = sum(one == tokenizer(line)["input_ids"] for one, line in zip(ids, lines, strict=True))
    classify = transformers.pipeline("text-classification", model=str(checkpoint), tokenizer=tokenizer, top_k=None)
    rows = []
    with attendant_server([artifact]) as running:
        for kind, asked in requests(lines, count).items():
            found: list[dict[str, float]] = []
            for part in batches(range(len(asked))):  # type: ignore[arg-type]
                texts, pairs = zip(*(asked[i] for i in part), strict=True)  # type: ignore[call-overload]
                body = {"text": texts, "truncate": True, "top_k": len(LABELS)}
                body |= {} if pairs[0] is None else {"pair": pairs}
                reply = posted(running.port, "/v1/classify", body)
                found += [{one["label"]: one["score"] for one in result["labels"]} for result in reply["results"]]
            inputs = [text if pair is None else {"text": text, "text_pair": pair} for text, pair in asked]
            expected = [{one["label"]: one["score"] for one in result} for result in classify(inputs, truncation=True)]
            largest = max(abs(one[x] - other[x]) for one, other in zip(found, expected, strict=True) for x in one)
            equal = sum(max(one, key=one.__getitem__) == max(other, key=other.__getitem__)
                        for one, other in zip(found, expected, strict=True))  # fmt: skip
            rows.append({
                "checkpoint": checkpoint.name, "import_minutes": round(minutes, 1),
                "probabilities": manifest.parity.onnx, "lines": len(lines), "equal_ids": same, "requests": kind,
                "texts": len(asked), "equal_labels": equal,
                "different_labels": len({max(one, key=one.__getitem__) for one in expected}), "largest": largest,
                "difference": f"{largest:.1e}",
            })  # fmt: skip
            sys.stdout.write(f"{rows[-1]}\n")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", type=Path, required=True, help="folder of a BERT encoder, such as MiniLM")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--texts", type=int, default=120)
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--only", nargs="+", help="names of checkpoints to compare, such as bert-seeded")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    notes, rows, lines = busy_note(), list[dict[str, Any]](), mixed_lines(options.data, options.lines)
    with tempfile.TemporaryDirectory() as folder:
        for checkpoint in checkpoints(options, lines, Path(folder)):
            if not options.only or checkpoint.name in options.only:
                rows += compare(checkpoint, lines, options.texts)
    if options.json:
        write_figures(options.json, "imported classifiers beside transformers", rows, notes=notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())

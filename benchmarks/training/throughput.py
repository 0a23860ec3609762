"""Training throughput of the same Transformer: ours, torch.nn.Transformer in our loop, and JoeyNMT in its own.

    python -m benchmarks.training.throughput [--shape multi30k] [--rounds 5] [--updates 60] [--joeynmt
        .venv-joeynmt/bin/python]

Sides take turns; the table has medians of real target tokens a second, and of the rounds' ratios. nn.Transformer
differs from ours in nothing but its layers: embeddings, loss, optimiser and batches are the same code. It also drops
attention weights and inner activations out, which ours does not: --dropout 0 takes that away from both.
"""

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.common.rounds import alternate, median, ratio
from benchmarks.synthetic.corpus import write_corpus
from benchmarks.training.joeynmt import JoeyFailed, tokens_per_second
from benchmarks.training.torch_transformer import TorchTransformer
from service.engine.cores import available_cores
from training import tasks
from training.config import Recipe, parse_recipe
from training.models import build_translator
from training.runs.run import RunFolder
from training.trainer import fit

WARMING = 10  # updates that do not count
PAIR = 27  # tokens of a sentence on average
SHAPES: dict[str, dict[str, int]] = {  # the recipes' for Multi30k, and one in which the products weigh more
    "multi30k": {"vocabulary": 6000, "width": 128, "heads": 4, "feed_forward": 256, "layers": 4},
    "small": {"vocabulary": 8000, "width": 256, "heads": 8, "feed_forward": 1024, "layers": 3},
}


def recipe_of(shape: str, dropout: float, batch_tokens: int) -> Recipe:
    """What all sides train."""
    size = SHAPES[shape]
    table: dict[str, Any] = {
        "task": "translate",
        "data": {"train": ["train.tsv"], "valid": ["valid.tsv"], "columns": ["src", "trg"], "directions": ["src-trg"]},
        "tokenizer": {"kind": "word", "vocabulary": size["vocabulary"], "min_frequency": 1},
        "model": {
            "width": size["width"], "heads": size["heads"], "kv_heads": size["heads"], "dropout": dropout,
            "feed_forward": size["feed_forward"], "encoder_layers": size["layers"], "decoder_layers": size["layers"],
        },
        "training": {"epochs": 1, "batch_tokens": batch_tokens, "warmup": WARMING, "keep_last": 1},
    }  # fmt: skip
    return parse_recipe(table, f"{shape}.toml")


def in_our_loop(build: Callable[..., torch.nn.Module], recipe: Recipe, data: Path) -> dict[str, float]:
    """One epoch by `training.trainer.fit`, as its own journal tells it."""
    with TemporaryDirectory() as folder, patch.object(tasks, "build_translator", build):
        run = RunFolder(Path(folder) / "run")
        with contextlib.redirect_stderr(io.StringIO()):
            fit(recipe, data, run, resume=False)
        records = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    updates = [record for record in records if "loss" in record]
    elapsed = [record["elapsed"] for record in updates]
    spent = [late - early for early, late in zip([0.0, *elapsed], elapsed, strict=False)]
    tokens = sum(r["tokens_per_second"] * s for r, s in zip(updates[WARMING:], spent[WARMING:], strict=True))
    return {"per_second": tokens / sum(spent[WARMING:])}


def in_joeys_loop(python: Path, recipe: Recipe, data: Path, updates: int) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        return {"per_second": tokens_per_second(python, recipe, data, Path(folder), updates)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="multi30k")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--joeynmt", type=Path, help="a Python that has JoeyNMT, see benchmarks/training/joeynmt.py")
    arguments = parser.parse_args()
    torch.set_num_threads(available_cores())
    recipe = recipe_of(arguments.shape, arguments.dropout, arguments.batch_tokens)
    with TemporaryDirectory() as folder:
        data = Path(folder)
        pairs = arguments.updates * arguments.batch_tokens // PAIR
        write_corpus(data, recipe.tokenizer.vocabulary, pairs)
        sides: dict[str, Callable[[], dict[str, float]]] = {
            "ours": lambda: in_our_loop(build_translator, recipe, data),
            "nn.Transformer, our loop": lambda: in_our_loop(TorchTransformer, recipe, data),
        }
        if arguments.joeynmt:
            sides["JoeyNMT"] = lambda: in_joeys_loop(arguments.joeynmt, recipe, data, arguments.updates)
        try:
            rounds = alternate(sides, arguments.rounds)
        except JoeyFailed as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
    sys.stdout.write(
        f"| {arguments.shape}, dropout {arguments.dropout:g} | target tokens/s | ours to it |\n|---|---|---|\n"
    )
    for side in sides:
        figures = median(rounds, side, "per_second"), ratio(rounds, "ours", side, "per_second")
        sys.stdout.write("| {} | {:.0f} | {:.2f} |\n".format(side, *figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())

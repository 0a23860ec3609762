"""Training throughput of the same Transformer: this project's, torch.nn.Transformer in the same loop, and JoeyNMT.

    python -m benchmarks.training.throughput [--shape multi30k] [--rounds 5] [--updates 60]
        [--joeynmt .venv-joeynmt/bin/python]

Sides take turns; the table has the medians of real target tokens per second, and of the rounds' ratios. nn.Transformer
differs from this project's model only in its layers: embeddings, loss, optimiser and batches are the same code. It also
applies dropout to attention weights and inner activations, which this project's model does not: use --dropout 0 to
compare without.
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
from benchmarks.training.joeynmt import JoeyNMTError, tokens_per_second
from benchmarks.training.torch_transformer import TorchTransformer
from service.engine.cores import available_cores
from training import tasks
from training.config import Recipe, parse_recipe
from training.models import build_translator
from training.runs.run import RunFolder
from training.trainer import fit

WARM_UP_UPDATES = 10  # updates before the measurement
TOKENS_PER_SENTENCE = 27  # on average
SHAPES: dict[str, dict[str, int]] = {  # the shape of the Multi30k recipes, and one with larger matrix products
    "multi30k": {"vocabulary": 6000, "width": 128, "heads": 4, "feed_forward": 256, "layers": 4},
    "small": {"vocabulary": 8000, "width": 256, "heads": 8, "feed_forward": 1024, "layers": 3},
}


def recipe_of(shape: str, dropout: float, batch_tokens: int) -> Recipe:
    """Return the recipe that all sides train."""
    size = SHAPES[shape]
    table: dict[str, Any] = {
        "task": "translate",
        "data": {"train": ["train.tsv"], "valid": ["valid.tsv"], "columns": ["src", "trg"], "directions": ["src-trg"]},
        "tokenizer": {"kind": "word", "vocabulary": size["vocabulary"], "min_frequency": 1},
        "model": {
            "width": size["width"], "heads": size["heads"], "kv_heads": size["heads"], "dropout": dropout,
            "feed_forward": size["feed_forward"], "encoder_layers": size["layers"], "decoder_layers": size["layers"],
        },
        "training": {"epochs": 1, "batch_tokens": batch_tokens, "warmup": WARM_UP_UPDATES, "keep_last": 1},
    }  # fmt: skip
    return parse_recipe(table, f"{shape}.toml")


def own_loop_rate(build: Callable[..., torch.nn.Module], recipe: Recipe, data: Path) -> dict[str, float]:
    """Train one epoch by `training.trainer.fit`; return the rate from its log."""
    with TemporaryDirectory() as folder, patch.object(tasks, "build_translator", build):
        run = RunFolder(Path(folder) / "run")
        with contextlib.redirect_stderr(io.StringIO()):
            fit(recipe, data, run, resume=False)
        records = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    updates = [record for record in records if "loss" in record]
    elapsed = [record["elapsed"] for record in updates]
    spent = [late - early for early, late in zip([0.0, *elapsed], elapsed, strict=False)]
    tokens = sum(
        r["tokens_per_second"] * s for r, s in zip(updates[WARM_UP_UPDATES:], spent[WARM_UP_UPDATES:], strict=True)
    )
    return {"per_second": tokens / sum(spent[WARM_UP_UPDATES:])}


def joeynmt_rate(python: Path, recipe: Recipe, data: Path, updates: int) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        return {"per_second": tokens_per_second(python, recipe, data, Path(folder), updates)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="multi30k")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--joeynmt", type=Path, help="interpreter that has JoeyNMT, see benchmarks/training/joeynmt.py")
    arguments = parser.parse_args()
    torch.set_num_threads(available_cores())
    recipe = recipe_of(arguments.shape, arguments.dropout, arguments.batch_tokens)
    with TemporaryDirectory() as folder:
        data = Path(folder)
        pairs = arguments.updates * arguments.batch_tokens // TOKENS_PER_SENTENCE
        write_corpus(data, recipe.tokenizer.vocabulary, pairs)
        sides: dict[str, Callable[[], dict[str, float]]] = {
            "ours": lambda: own_loop_rate(build_translator, recipe, data),
            "nn.Transformer, our loop": lambda: own_loop_rate(TorchTransformer, recipe, data),
        }
        if arguments.joeynmt:
            sides["JoeyNMT"] = lambda: joeynmt_rate(arguments.joeynmt, recipe, data, arguments.updates)
        try:
            rounds = alternate(sides, arguments.rounds)
        except JoeyNMTError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
    sys.stdout.write(
        f"| {arguments.shape}, dropout {arguments.dropout:g} | target tokens/s | ours relative to it |\n|---|---|---|\n"
    )
    for side in sides:
        row = median(rounds, side, "per_second"), ratio(rounds, "ours", side, "per_second")
        sys.stdout.write("| {} | {:.0f} | {:.2f} |\n".format(side, *row))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The base shape as a run folder: 6 + 6 layers, D 512, V 32,000; nobody trained its weights, yet they stop.

    python -m benchmarks.synthetic.base_shape RUN [--lengths news|tatoeba]

`python -m export RUN ARTIFACT --data RUN/data` takes the folder: its corpus is sentences of made-up words, as long as
real sentences are.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.synthetic.lengths import QUANTILES, sample_lengths
from benchmarks.synthetic.stopping_weights import stopping_model
from training.config import Recipe, TransformerConfig, parse_recipe
from training.data.tokenizer import EOS, SPECIAL_TOKENS, train_codec
from training.runs.checkpoint import save_weights
from training.runs.run import RunFolder
from training.tasks import TranslateTask

BASE: dict[str, Any] = {
    "width": 512, "heads": 8, "kv_heads": 8, "feed_forward": 2048, "encoder_layers": 6, "decoder_layers": 6,
    "dropout": 0.0, "norm": "pre", "activation": "relu", "positions": "learned", "tied_embeddings": True,
    "max_source_length": 256, "max_target_length": 256,
}  # fmt: skip
VOCABULARY = 32_000
CORPUS = {"train": 2000, "valid": 500}  # rows
SEED = 1


def base_recipe(model: dict[str, Any], vocabulary: int) -> Recipe:
    """A recipe of one direction over made-up words."""
    table = {
        "name": "bench-base",
        "task": "translate",
        "description": "untrained weights for benchmarks: every translation is as long as its source",
        "licence": "Apache-2.0",
        "seed": SEED,
        "data": {
            "train": ["train.tsv"], "valid": ["valid.tsv"], "columns": ["en", "de"], "directions": ["en-de"],
        },
        "tokenizer": {"kind": "word", "vocabulary": vocabulary, "min_frequency": 1},
        "model": model,
    }  # fmt: skip
    return parse_recipe(table, "bench-base.toml")


def write_run(path: Path, lengths: str, model: dict[str, Any] = BASE, vocabulary: int = VOCABULARY) -> RunFolder:
    """Write recipe, tokeniser, corpus and weights.

    Raises:
        RecipeError, ValueError: the shape is none that stopping can be imposed on.
    """
    run = RunFolder(path)
    recipe = base_recipe(model, vocabulary)
    words = made_up_words(vocabulary - len(SPECIAL_TOKENS))
    task = TranslateTask(recipe, train_codec(recipe.tokenizer, words, [], []))
    (path / "data").mkdir(parents=True, exist_ok=True)
    for seed, (split, rows) in enumerate(CORPUS.items()):
        sides = [made_up(words, sample_lengths(lengths, rows, 2 * seed + side), 2 * seed + side) for side in (0, 1)]
        lines = [f"{source}\t{target}\n" for source, target in zip(*sides, strict=True)]
        (path / "data" / f"{split}.tsv").write_text("".join(lines), "utf-8")
    run.save_recipe(recipe)
    task.save(path)
    run.report.write_text(json.dumps({"note": recipe.description}), "utf-8")
    assert isinstance(recipe.model, TransformerConfig)
    save_weights(stopping_model(recipe.model, task.codec.target.get_vocab_size(), SEED), run.weights)
    return run


def made_up_words(count: int) -> list[str]:
    """Different words of five letters and no digit: a service has rules of its own for numbers."""
    return [_in_letters(26**4 + i) for i in range(count)]


def _in_letters(number: int) -> str:
    letters = ""
    while number:
        number, digit = divmod(number, 26)
        letters += chr(ord("a") + digit)
    return letters


def made_up(words: Sequence[str], lengths: list[int], seed: int) -> list[str]:
    """A sentence of random words for every length, the end mark counted in."""
    generator = random.Random(seed)
    return [" ".join(generator.choices(words, k=length - 1)) for length in lengths]


def made_up_ids(vocabulary: int, lengths: list[int], seed: int) -> list[list[int]]:
    """The same as source ids: any words, then the end mark."""
    generator = random.Random(seed)
    return [[*generator.choices(range(len(SPECIAL_TOKENS), vocabulary), k=length - 1), EOS] for length in lengths]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--lengths", choices=QUANTILES, default="news")
    arguments = parser.parse_args()
    write_run(arguments.run, arguments.lengths)
    sys.stdout.write(f"{arguments.run}: export it with --data {arguments.run / 'data'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

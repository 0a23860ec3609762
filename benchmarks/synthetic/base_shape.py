"""Write a run folder of the base shape: 6 + 6 layers, D 512, V 32,000, untrained weights that stop by construction.

    python -m benchmarks.synthetic.base_shape RUN [--lengths news|tatoeba]

`python -m export RUN ARTIFACT --data RUN/data` accepts the folder: its corpus is sentences of synthetic words, as long
as real sentences.
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
    """Return a recipe with one direction over synthetic words."""
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
        RecipeError, ValueError: the shape does not support weights that stop by construction.
    """
    run = RunFolder(path)
    recipe = base_recipe(model, vocabulary)
    words = synthetic_words(vocabulary - len(SPECIAL_TOKENS))
    task = TranslateTask(recipe, train_codec(recipe.tokenizer, words, [], []))
    (path / "data").mkdir(parents=True, exist_ok=True)
    for seed, (split, rows) in enumerate(CORPUS.items()):
        sides = [
            synthetic_sentences(words, sample_lengths(lengths, rows, 2 * seed + side), 2 * seed + side)
            for side in (0, 1)
        ]
        lines = [f"{source}\t{target}\n" for source, target in zip(*sides, strict=True)]
        (path / "data" / f"{split}.tsv").write_text("".join(lines), "utf-8")
    run.save_recipe(recipe)
    task.save(path)
    run.report.write_text(json.dumps({"note": recipe.description}), "utf-8")
    assert isinstance(recipe.model, TransformerConfig)
    save_weights(stopping_model(recipe.model, task.codec.target.get_vocab_size(), SEED), run.weights)
    return run


def synthetic_words(count: int) -> list[str]:
    """Return distinct words of five letters without digits: the service treats numbers specially."""
    return [_base26(26**4 + i) for i in range(count)]


def _base26(number: int) -> str:
    letters = ""
    while number:
        number, digit = divmod(number, 26)
        letters += chr(ord("a") + digit)
    return letters


def synthetic_sentences(words: Sequence[str], lengths: list[int], seed: int) -> list[str]:
    """Return one sentence of random words per length; a length includes the end-of-sequence token."""
    generator = random.Random(seed)
    return [" ".join(generator.choices(words, k=length - 1)) for length in lengths]


def synthetic_ids(vocabulary: int, lengths: list[int], seed: int) -> list[list[int]]:
    """Return the same as source ids: random words, then the end-of-sequence token."""
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

"""A recipe that trains in a few seconds, and readers of a run's files."""

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from tests.conftest import write_rows
from training.config import Recipe, parse_recipe
from training.distributed import join_process_group
from training.runs.run import RunFolder
from training.trainer import Trainer

CPU = torch.device("cpu")

# Reverse the digits, in one direction with one vocabulary of words. With dropout, a resumed run depends on the seed.
REVERSE: dict[str, Any] = {
    "task": "translate",
    "data": {
        "train": ["train.tsv"], "valid": ["valid.tsv"], "columns": ["forth", "back"], "directions": ["forth-back"],
        "max_length": 16,
    },
    "tokenizer": {"kind": "word", "vocabulary": 14, "min_frequency": 1},
    "model": {
        "width": 16, "heads": 2, "kv_heads": 1, "feed_forward": 16, "encoder_layers": 1, "decoder_layers": 1,
        "dropout": 0.1, "max_source_length": 20, "max_target_length": 20,
    },
    "training": {"epochs": 3, "batch_tokens": 128, "learning_rate": 0.01, "warmup": 4, "keep_last": 2},
}  # fmt: skip


def changed(table: dict[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    """Return a copy of a recipe's table with some values replaced, such as {"model.width": 24}; None removes a key."""
    table = json.loads(json.dumps(table))
    for path, value in changes.items():
        *sections, key = path.split(".")
        section = table
        for name in sections:
            section = section[name]
        if value is None:
            del section[key]
        else:
            section[key] = value
    return table


def reverse(**changes: object) -> Recipe:
    """Return the toy recipe with changes to its [training] table."""
    return parse_recipe(
        changed(REVERSE, {f"training.{name}": value for name, value in changes.items()}), "reverse.toml"
    )


def write_reverse(folder: Path) -> None:
    """Write the corpus of the toy recipe: 100 training rows and 12 validation rows.

    Their two lengths are so far apart that every epoch has the same number of updates.
    """
    generator = random.Random(7)
    numbers = [*generator.sample(range(10**3, 10**4), 56), *generator.sample(range(10**6, 10**7), 56)]
    generator.shuffle(numbers)
    rows = [(" ".join(str(number)), " ".join(reversed(str(number)))) for number in numbers]
    write_rows(folder / "train.tsv", rows[:100])
    write_rows(folder / "valid.tsv", rows[100:])


def history(run: RunFolder) -> list[dict[str, Any]]:
    """Return the run's metrics without those that depend on the clock."""
    records = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    return [
        {k: v for k, v in r.items() if k not in ("elapsed", "tokens_per_second", "texts_per_second")} for r in records
    ]


def losses(run: RunFolder) -> list[float]:
    return [record["loss"] for record in history(run) if "loss" in record]


@contextmanager
def prepared(recipe: Recipe, data: Path, run: RunFolder) -> Iterator[Trainer]:
    with join_process_group() as context:
        trainer = Trainer(recipe, data, run, resume=False, context=context)
        with closing(trainer.logger):
            yield trainer

"""A recipe of a few seconds' training, and readers of what a run wrote."""

import json
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from tests.conftest import write_rows
from training.config import Recipe, parse_recipe
from training.distributed import join_process_group
from training.runs.run import RunFolder
from training.trainer import Trainer

torch.set_num_threads(1)  # so small a model is slower on more
CPU = torch.device("cpu")

# Reverse the digits: one way, one vocabulary of words. Dropout makes a resumed run depend on its random state.
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


def changed(table: dict[str, Any], changes: dict[str, object]) -> dict[str, Any]:
    """A copy of a recipe's table with some values replaced, for example {"model.width": 24}; None takes a key out."""
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
    """The toy recipe with changes to its training section."""
    return parse_recipe(
        changed(REVERSE, {f"training.{name}": value for name, value in changes.items()}), "reverse.toml"
    )


def write_reverse(folder: Path) -> None:
    """The corpus of the toy recipe: 100 rows to train on, 12 to validate, of two lengths so far apart that every epoch
    has the same number of updates."""
    generator = random.Random(7)
    numbers = [*generator.sample(range(10**3, 10**4), 56), *generator.sample(range(10**6, 10**7), 56)]
    generator.shuffle(numbers)
    rows = [(" ".join(str(number)), " ".join(reversed(str(number)))) for number in numbers]
    write_rows(folder / "train.tsv", rows[:100])
    write_rows(folder / "valid.tsv", rows[100:])


def history(run: RunFolder) -> list[dict[str, Any]]:
    """The run's metrics without what the clock decides."""
    records = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    return [{k: v for k, v in r.items() if k not in ("elapsed", "tokens_per_second")} for r in records]


def losses(run: RunFolder) -> list[float]:
    return [record["loss"] for record in history(run) if "loss" in record]


@contextmanager
def prepared(recipe: Recipe, data: Path, run: RunFolder) -> Iterator[Trainer]:
    with join_process_group() as context:
        trainer = Trainer(recipe, data, run, resume=False, context=context)
        with closing(trainer.logger):
            yield trainer

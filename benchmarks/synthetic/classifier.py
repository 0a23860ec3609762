"""Write a run folder of a small Transformer classifier: 2 layers, D 128, 79 labels, untrained weights.

Untrained weights cost as much to compute with as trained ones.
"""

import itertools
import json
from pathlib import Path

import torch

from training.config import parse_recipe
from training.data.corpus import Row
from training.runs.checkpoint import save_weights
from training.runs.run import RunFolder
from training.tasks import ClassifyTask

SEED = 1
LABELS = [f"label-{i:02}" for i in range(79)]
VOCABULARY = 4000


def write_classifier(path: Path, texts: list[str]) -> RunFolder:
    """Write recipe, tokeniser of these texts, labels, weights, and the texts as the corpus of the folder `data`.

    Raises:
        TokenizerError: the texts are too few for the vocabulary.
    """
    run = RunFolder(path)
    recipe = parse_recipe(
        {
            "name": "bench-classifier",
            "task": "classify",
            "description": "untrained weights for benchmarks",
            "licence": "Apache-2.0",
            "seed": SEED,
            "data": {
                "train": ["train.tsv"], "valid": ["train.tsv"], "columns": ["label", "text"], "max_length": 400,
            },
            "tokenizer": {"kind": "bpe", "vocabulary": VOCABULARY},
            "model": {
                "width": 128, "heads": 2, "kv_heads": 2, "feed_forward": 256, "encoder_layers": 2, "dropout": 0.0,
                "max_source_length": 512,
            },
        },
        "bench-classifier.toml",
    )  # fmt: skip
    rows: list[Row] = [
        (label, text.replace("\t", " ")) for label, text in zip(itertools.cycle(LABELS), texts, strict=False)
    ]
    task = ClassifyTask.create(recipe, rows)
    (path / "data").mkdir(parents=True, exist_ok=True)
    (path / "data" / "train.tsv").write_text("".join(f"{label}\t{text}\n" for label, text in rows), "utf-8")
    run.save_recipe(recipe)
    task.save(path)
    run.report.write_text(json.dumps({"note": recipe.description}), "utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        save_weights(task.build(), run.weights)
    return run

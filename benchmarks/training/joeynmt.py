"""JoeyNMT (Kreutzer et al. 2019, arXiv 1907.12484), trained by its own loop in its own environment.

    python -m venv .venv-joeynmt && .venv-joeynmt/bin/pip install joeynmt "importlib_metadata<8" torch==2.13.0

Its sampler fills batches in random order, ours with sentences of similar length; both count real target tokens.
"""

import json
import re
import statistics
import subprocess
from pathlib import Path

from training.config import Recipe, TransformerConfig

LOG_EVERY = 10  # updates per line of its log
RATE = re.compile(r"Tokens per Sec:\s*([\d.]+)")


class JoeyNMTError(RuntimeError):
    """JoeyNMT did not train."""


def tokens_per_second(python: Path, recipe: Recipe, data: Path, folder: Path, updates: int) -> float:
    """Return the median rate in its log, without the first line (warm-up).

    Raises:
        JoeyNMTError: it ended with an error, or logged no rate.
    """
    settings = folder / "joeynmt.yaml"
    settings.write_text(json.dumps(_settings(recipe, data, folder / "run", updates)))  # JSON is YAML
    command = [str(python.absolute()), "-m", "joeynmt", "train", str(settings), "--skip-test"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    rates = [float(rate) for rate in RATE.findall(log)]
    if done.returncode or len(rates) < 2:
        raise JoeyNMTError(f"{python} -m joeynmt: {log[-2000:]}")
    return statistics.median(rates[1:])


def _settings(recipe: Recipe, data: Path, folder: Path, updates: int) -> dict[str, object]:
    """Return the recipe as JoeyNMT settings: same shape, vocabulary and padded tokens, one Adam step per batch."""
    model, training = recipe.model, recipe.training
    assert isinstance(model, TransformerConfig)
    side = {"max_length": recipe.data.max_length, "level": "word", "voc_file": str(data / "vocabulary.txt")}

    def part(layers: int) -> dict[str, object]:
        return {
            "type": "transformer", "num_layers": layers, "num_heads": model.heads, "hidden_size": model.width,
            "ff_size": model.feed_forward, "dropout": model.dropout, "layer_norm": model.norm,
            "activation": model.activation,
            "embeddings": {"embedding_dim": model.width, "scale": True, "dropout": model.dropout},
        }  # fmt: skip

    return {
        "name": recipe.name, "joeynmt_version": "2.3.0", "model_dir": str(folder), "use_cuda": False, "fp16": False,
        "data": {
            "train": str(data / "train"), "dev": str(data / "valid"), "dataset_type": "plain",
            "src": {"lang": "src", **side}, "trg": {"lang": "trg", **side},
        },
        "testing": {},
        "training": {
            "optimizer": "adamw", "adam_betas": [0.9, 0.98], "learning_rate": training.learning_rate,
            "label_smoothing": training.label_smoothing, "clip_grad_norm": training.clip_norm,
            "normalization": "tokens", "batch_type": "token", "batch_size": training.batch_tokens,
            "epochs": 1000, "updates": updates, "logging_freq": LOG_EVERY, "validation_freq": 1000 * LOG_EVERY,
            "early_stopping_metric": "ppl", "scheduling": "exponential", "decrease_factor": 1.0,
        },
        "model": {
            "tied_embeddings": True, "tied_softmax": True,
            "encoder": part(model.encoder_layers), "decoder": part(model.decoder_layers),
        },
    }  # fmt: skip

"""Read a checkpoint folder: its configuration and its weights, which are safetensors only.

A pickle may run code when it is loaded, so it is refused; code that comes with a checkpoint is never run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

CONFIG, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
CTRANSLATE2 = ("model.bin", "model/model.bin")


class ImportRefused(ValueError):
    """A checkpoint that cannot be imported; the message says what it would need."""


@dataclass(frozen=True)
class HfCheckpoint:
    """A checkpoint folder and its configuration."""

    path: Path
    config: Mapping[str, Any]

    @property
    def model_type(self) -> str:
        """The architecture's name in transformers, such as "marian"."""
        return str(self.config.get("model_type"))

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value of config.json.

        Raises:
            ImportRefused: it is missing, and there is no default.
        """
        value = self.config.get(key, default)
        if value is None:
            raise ImportRefused(f"{self.path / CONFIG}: {key} is missing")
        return value

    def file(self, name: str) -> Path:
        """Return a file of the folder.

        Raises:
            ImportRefused: it is missing.
        """
        if not (self.path / name).is_file():
            raise ImportRefused(f"{self.path}: {name} is missing; copy the whole folder of the checkpoint")
        return self.path / name

    def weights(self) -> dict[str, Tensor]:
        """Return the weights by name, in fp32.

        Raises:
            ImportRefused: there are none in safetensors, or they cannot be read.
        """
        if (self.path / INDEX).is_file():
            names = sorted(set(read_json(self.path / INDEX).get("weight_map", {}).values()))
        elif (self.path / WEIGHTS).is_file():
            names = [WEIGHTS]
        else:
            pickles = sorted(file.name for file in self.path.glob("*.bin"))
            found = f"; {', '.join(pickles)} may run code when loaded and is not read" if pickles else ""
            raise ImportRefused(
                f"{self.path}: {WEIGHTS} is missing{found}. Convert the checkpoint where you trust it: "
                "AutoModel.from_pretrained(...).save_pretrained(..., safe_serialization=True)"
            )
        weights: dict[str, Tensor] = {}
        for name in names:
            try:
                weights |= load_file(self.file(name))
            except SafetensorError as error:
                raise ImportRefused(f"{self.path / name}: damaged: {error}") from None
        return {name: tensor.to(torch.float32) for name, tensor in weights.items()}


def open_checkpoint(path: Path) -> HfCheckpoint:
    """Open a checkpoint folder.

    Raises:
        ImportRefused: it has no readable config.json, or brings code of its own.
    """
    if not path.is_dir():
        raise ImportRefused(f"{path}: no such folder")
    if any((path / name).is_file() for name in CTRANSLATE2):
        raise ImportRefused(
            f"{path}: a model of CTranslate2 (model.bin), as Argos packages have it; a translator can be imported to "
            "be served (python -m export from-hf), but nothing can be trained from it"
        )
    if not (path / CONFIG).is_file():
        raise ImportRefused(f"{path}: {CONFIG} is missing, so this is not a checkpoint of transformers")
    tables = {name: read_json(path / name) for name in (CONFIG, TOKENIZER_CONFIG) if (path / name).is_file()}
    for name, table in tables.items():
        if table.get("auto_map"):
            what = "model" if name == CONFIG else "tokenizer"
            raise ImportRefused(
                f"{path / name}: the {what} brings code of its own (auto_map), which is never run; only architectures "
                "of transformers itself can be imported"
            )
    return HfCheckpoint(path, tables[CONFIG])


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ImportRefused: it cannot be read.
    """
    try:
        table = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ImportRefused(f"{path}: cannot be read: {error}") from None
    if not isinstance(table, dict):
        raise ImportRefused(f"{path}: not a JSON object")
    return table

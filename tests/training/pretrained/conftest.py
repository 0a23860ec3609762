"""Small pretrained encoders with seeded weights and a real WordPiece or byte-level BPE tokenizer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.training.pretrained.checkpoints import FAMILIES, write_tokenizer

EncoderFolder = Callable[..., Path]


@pytest.fixture
def encoder_folder(tmp_path: Path) -> EncoderFolder:
    """Return a function that writes the checkpoint of an encoder without a head; its arguments change the config."""

    def write(family: str = "bert", **changes: Any) -> Path:
        folder = tmp_path / f"{family}-small"
        name, sizes = FAMILIES[family]
        tokenizer = write_tokenizer(family == "roberta")
        torch.manual_seed(0)
        config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer), **sizes | changes)
        model = getattr(transformers, f"{name}Model")(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return write

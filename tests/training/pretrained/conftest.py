"""Small pretrained encoders with seeded weights and a real WordPiece or byte-level BPE tokenizer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.pretrained.checkpoints import write_encoder

EncoderFolder = Callable[..., Path]


@pytest.fixture
def encoder_folder(tmp_path: Path) -> EncoderFolder:
    """Return a function that writes the checkpoint of an encoder without a head; its arguments change the config."""

    def write(family: str = "bert", **changes: Any) -> Path:
        return write_encoder(tmp_path / f"{family}-small", family=family, **changes)

    return write

"""Small models of the benchmarks' kinds."""

from pathlib import Path
from typing import Any

import pytest

from training.config import TransformerConfig
from training.models.transformer import Transformer

# The smallest shape that stopping can be imposed on.
STOPPING: dict[str, Any] = {
    "width": 256, "heads": 4, "kv_heads": 4, "feed_forward": 64, "encoder_layers": 2, "decoder_layers": 2,
    "dropout": 0.0, "positions": "learned", "max_source_length": 128, "max_target_length": 128,
}  # fmt: skip
VOCABULARY = 300


@pytest.fixture(scope="session")
def stopping() -> Transformer:
    """Untrained weights that stop by themselves."""
    from benchmarks.synthetic.stopping_weights import stopping_model

    return stopping_model(TransformerConfig.model_validate(STOPPING), VOCABULARY, seed=1)


@pytest.fixture(scope="session")
def stopping_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shape as a run folder; read it, write only below `baselines`."""
    from benchmarks.synthetic.base_shape import write_run

    path = tmp_path_factory.mktemp("runs") / "stopping"
    write_run(path, "tatoeba", STOPPING, VOCABULARY)
    return path

"""transformers and optimum-onnx give the same ids as greedy search in torch, from the same weights."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.baselines import UnsupportedModel
from benchmarks.baselines.transformers.convert import POSITIONS, convert
from benchmarks.offline.system_process import SystemProcess
from benchmarks.offline.translate import BENCH_PYTHON
from benchmarks.synthetic.base_shape import synthetic_ids
from tests.benchmarks.conftest import STOPPING, VOCABULARY
from training.config import TransformerConfig
from training.decoding.greedy import greedy
from training.models.transformer import Transformer


@pytest.mark.parametrize("kind", ["transformers", "optimum"])
@pytest.mark.skipif(not BENCH_PYTHON.is_file(), reason=".venv-bench is missing: `make bench` creates it")
def test_greedy_ids_equal_ours(stopping: Transformer, kind: str, tmp_path: Path) -> None:
    convert(stopping, tmp_path)
    sources = synthetic_ids(VOCABULARY, [5, 30, 12, 3], seed=7)
    with SystemProcess(BENCH_PYTHON, kind, {"folder": str(tmp_path), "threads": 1, "limit": 100}) as system:
        (setting,) = system.description()["settings"]
        _, together = system.translate(sources, "greedy", setting)
        _, alone = system.translate(sources, "single", setting)
        _, beam = system.translate(sources, "beam4", setting)
    assert together == alone == greedy(stopping, sources, torch.device("cpu"))
    assert [len(ids) + 1 for ids in beam] == [5, 30, 12, 3]


def test_folder_contains_every_weight_once(stopping: Transformer, tmp_path: Path) -> None:
    convert(stopping, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    ours = sum(parameter.numel() for name, parameter in stopping.named_parameters() if not name.endswith("position"))
    assert sum(tensor.numel() for tensor in tensors.values()) == ours
    packed = stopping.get_parameter("layers.0.self_attention.query_key_value.weight")
    named = [tensors[f"model.decoder.layers.0.self_attn.{name}_proj.weight"] for name in "qkv"]
    assert torch.equal(torch.cat(named), packed)
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["decoder_start_token_id"] == 2


def test_positions_are_shifted_by_the_padding_row(stopping: Transformer, tmp_path: Path) -> None:
    convert(stopping, tmp_path)
    tables = load_file(tmp_path / POSITIONS)
    assert torch.equal(tables["decoder"][1:], stopping.embedding.position)
    assert not tables["encoder"][0].any()


@pytest.mark.parametrize("change", [{"norm": "post"}, {"tied_embeddings": False}])
def test_unsupported_shape_raises(change: dict[str, object], tmp_path: Path) -> None:
    model = Transformer(TransformerConfig.model_validate(STOPPING | change), VOCABULARY, VOCABULARY, joint=True)
    with pytest.raises(UnsupportedModel, match="M2M100 needs"):
        convert(model, tmp_path)

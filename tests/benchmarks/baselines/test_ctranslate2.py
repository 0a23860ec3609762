"""CTranslate2 gives the same ids as greedy search in torch, from the same weights."""

import json
import random
from pathlib import Path

import pytest
import torch

from training.config import TransformerConfig
from training.decoding.greedy import default_target_length, greedy
from training.models.transformer import Transformer
from training.runs.run import RunFolder

ctranslate2 = pytest.importorskip("ctranslate2", reason="CTranslate2 is not installed")

from benchmarks.baselines import UnsupportedModel  # noqa: E402 (what needs CTranslate2 comes after the question for it)
from benchmarks.baselines.ctranslate2.convert import (  # noqa: E402
    codec_vocabularies,
    convert,
    convert_run,
    numbered_vocabulary,
)
from benchmarks.baselines.ctranslate2.system import Translator  # noqa: E402
from benchmarks.synthetic.base_shape import synthetic_ids  # noqa: E402

SHAPE = {
    "width": 32, "heads": 2, "kv_heads": 2, "feed_forward": 48, "encoder_layers": 2, "decoder_layers": 3,
    "dropout": 0.0, "max_source_length": 64, "max_target_length": 64,
}  # fmt: skip
SOURCE, TARGET = 50, 60


def lively(config: TransformerConfig, joint: bool) -> Transformer:
    """Random weights, norms and biases included, large enough that answers differ."""
    torch.manual_seed(1)
    model = Transformer(config, TARGET if joint else SOURCE, TARGET, joint).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.mul_(1.5)
    return model


@pytest.mark.parametrize(
    ("change", "joint"),
    [
        ({}, True),
        ({"norm": "post"}, True),
        ({"activation": "gelu"}, True),
        ({"positions": "learned"}, True),
        ({}, False),
        ({"tied_embeddings": False}, False),
    ],
)
def test_greedy_ids_equal_ours(change: dict[str, object], joint: bool, tmp_path: Path) -> None:
    model = lively(TransformerConfig.model_validate(SHAPE | change), joint)
    source, target = (
        numbered_vocabulary(x.num_embeddings) for x in (model.encoder.embedding.token, model.embedding.token)
    )
    convert(model, tmp_path, source, target)
    generator = random.Random(2)
    sources = synthetic_ids(SOURCE, [generator.randint(2, 22) for _ in range(30)], seed=2)
    expected = greedy(model, sources, torch.device("cpu"))
    assert len({tuple(ids) for ids in expected}) > 10
    translator = ctranslate2.Translator(str(tmp_path), intra_threads=1)
    for ids, answer in zip(sources, expected, strict=True):
        limit = default_target_length(len(ids), 64)
        tokens = [source[i] for i in ids]
        (result,) = translator.translate_batch([tokens], beam_size=1, min_decoding_length=0, max_decoding_length=limit)
        assert [target.index(token) for token in result.hypotheses[0]] == answer


def test_vocabulary_of_wrong_size_raises(tmp_path: Path) -> None:
    model = lively(TransformerConfig.model_validate(SHAPE), joint=True)
    with pytest.raises(ValueError, match="size"):
        convert(model, tmp_path, numbered_vocabulary(TARGET), numbered_vocabulary(TARGET - 1))


def test_classifier_run_raises(toy_classification_run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="not a run of a translator"):
        convert_run(toy_classification_run.path, tmp_path)


def test_run_folder_is_converted_with_its_vocabulary(stopping_run: Path, tmp_path: Path) -> None:
    task, model = RunFolder(stopping_run).open(torch.device("cpu"))
    source, target = convert_run(stopping_run, tmp_path)
    assert (source, target) == codec_vocabularies(task.codec)
    assert json.loads((tmp_path / "shared_vocabulary.json").read_text("utf-8")) == target
    assert target[:4] == ["<pad>", "<unk>", "<bos>", "<eos>"]


@pytest.mark.parametrize("mode", ["greedy", "single"])
def test_system_answers_equal_ours(stopping_run: Path, mode: str, tmp_path: Path) -> None:
    _, model = RunFolder(stopping_run).open(torch.device("cpu"))
    convert_run(stopping_run, tmp_path)
    system = Translator(tmp_path, "float32", workers=1, threads=1, limit=128)
    sources = synthetic_ids(300, [9, 4, 17, 30], seed=6)
    expected = greedy(model, sources, torch.device("cpu"))
    assert all(system.translate(sources, mode, setting) == expected for setting in system.settings)

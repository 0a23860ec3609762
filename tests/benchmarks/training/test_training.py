"""The baselines of the training benchmark: same mathematics, same words, and the logged rate."""

import sys
from pathlib import Path
from typing import Literal

import pytest
import torch

from benchmarks.synthetic.corpus import SPECIAL_TOKENS, write_corpus
from benchmarks.training.joeynmt import JoeyNMTError, tokens_per_second
from benchmarks.training.throughput import SHAPES, own_loop_rate, recipe_of
from benchmarks.training.torch_transformer import TorchTransformer
from training.config import TransformerConfig
from training.data.corpus import read_corpus
from training.models import build_translator
from training.optimizer import count_parameters
from training.tasks import create_task


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_nn_transformer_step_equals_teacher_forcing(norm: Literal["pre", "post"]) -> None:
    torch.manual_seed(0)
    config = TransformerConfig(
        width=16, heads=2, kv_heads=2, feed_forward=16, encoder_layers=2, decoder_layers=2, norm=norm
    )
    model = TorchTransformer(config, 20, 20, joint=True).eval()
    source, lengths = torch.tensor([[5, 6, 7, 3], [8, 3, 0, 0]]), torch.tensor([4, 2])
    target = torch.tensor([[2, 9, 10, 11], [2, 12, 13, 14]])
    logits = model.output(model.features(source, lengths, target))
    alone = model.output(model.features(source[1:, :2], lengths[1:], target[1:]))
    torch.testing.assert_close(alone[0], logits[1])
    state = model.encode(source, lengths)
    for position in range(target.size(1)):
        stepped, state = model.step(target[:, position], state)
        torch.testing.assert_close(stepped, logits[:, position])


def test_nn_transformer_has_the_same_parameter_count() -> None:
    config = recipe_of("multi30k", 0.1, 2048).model
    assert isinstance(config, TransformerConfig)
    ours, theirs = build_translator(config, 6000, 6000, True), TorchTransformer(config, 6000, 6000, True)
    assert count_parameters(theirs) == count_parameters(ours)


def test_synthetic_corpus_has_the_vocabulary_and_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "tiny", {"vocabulary": 300, "width": 16, "heads": 2, "feed_forward": 16, "layers": 1})
    write_corpus(tmp_path, 300, pairs=200)
    recipe = recipe_of("tiny", 0.1, 256)
    rows = read_corpus(recipe.data.train, recipe.data.columns, tmp_path)
    assert create_task(recipe, rows).codec.source.get_vocab_size() == 300
    assert len((tmp_path / "vocabulary.txt").read_text().splitlines()) == 300 - SPECIAL_TOKENS
    sides = zip(*((tmp_path / f"train.{side}").read_text().splitlines() for side in ("src", "trg")), strict=True)
    assert list(sides) == rows
    for build in (build_translator, TorchTransformer):
        assert own_loop_rate(build, recipe, tmp_path)["per_second"] > 0


def test_rate_is_median_of_the_log_without_its_first_line(tmp_path: Path) -> None:
    lines = "".join(f"Epoch 1, Step: {i}, Tokens per Sec: {rate:8d}, Lr: 0.001\n" for i, rate in enumerate((9, 40, 60)))
    package = tmp_path / "joeynmt"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"import sys\nsys.stderr.write({lines!r})\n")
    recipe = recipe_of("multi30k", 0.1, 2048)
    assert tokens_per_second(Path(sys.executable), recipe, tmp_path, tmp_path, 30) == 50
    (package / "__main__.py").write_text("raise SystemExit('no such option')\n")
    with pytest.raises(JoeyNMTError, match="no such option"):
        tokens_per_second(Path(sys.executable), recipe, tmp_path, tmp_path, 30)

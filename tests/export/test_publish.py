"""The files of an artifact, the model card, and the checks that prevent publishing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch

from export import __main__ as command
from export.checks import parity
from export.checks.parity import ParityError, parity_sources
from export.graphs import transformer
from export.graphs.onnx_writer import WEIGHTS, to_onnx, write_graphs
from export.manifest import build_manifest
from export.model_card import model_card
from export.publish import ExportOptions, export_run
from service import artifact
from service.artifact import ArtifactError, read_artifact
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat
from tests.conftest import write_rows
from training.config import NAME, RecipeError, TokenizerConfig, TransformerConfig
from training.data.corpus import CorpusError
from training.data.tokenizer import extend_codec
from training.models import build_classifier
from training.runs.run import RunFolder
from training.tasks import TranslateTask

Export = Callable[..., Path]


def test_artifact_is_complete(toy_translator: Path, toy_classifier: Path) -> None:
    translator, classifier = read_artifact(toy_translator).manifest, read_artifact(toy_classifier).manifest
    assert set(translator.graphs) == {"encode", "step", "select", "score"}
    assert [(d.source, d.target) for d in translator.directions] == [("a", "b"), ("b", "a")]
    assert {state.kind for state in translator.state} == {"growing", "constant"}
    assert translator.parity.sentences > 0
    assert translator.parity.onnx < 1e-4
    assert set(classifier.graphs) == {"classify"}
    assert classifier.labels == ["cold", "none", "warm"]
    for folder in (toy_translator, toy_classifier):
        assert "Licence" in (folder / "MODEL_CARD.md").read_text("utf-8")


def test_manifest_declares_the_placeholder_tokens(toy_translation_run: RunFolder, toy_translator: Path) -> None:
    task, _ = toy_translation_run.open(torch.device("cpu"))
    assert isinstance(task, TranslateTask)
    toy = read_artifact(toy_translator).manifest
    assert toy.placeholder_tokens == []
    recipe = task.recipe.model_copy(update={"tokenizer": TokenizerConfig(vocabulary=320, placeholders=3)})
    extended = TranslateTask(recipe, extend_codec(task.codec, 3))
    manifest = build_manifest(extended, toy_translation_run, toy_translator, toy.graphs, {}, "toy", "1")
    size = extended.codec.target.get_vocab_size()
    ids = [extended.codec.target_ids([token])[0] for token in manifest.placeholder_tokens]
    assert [one[1:] for one in ids] == [[size - 3], [size - 2], [size - 1]]  # after the space in front


def test_model_card_ends_with_the_notes(toy_translator: Path) -> None:
    manifest = read_artifact(toy_translator).manifest
    assert model_card(manifest, 1, "## Limits\n\nThis.").endswith("trained again.\n\n## Limits\n\nThis.\n")
    assert model_card(manifest, 1, "").endswith("trained again.\n")


def test_weights_are_stored_once(toy_translation_run: RunFolder, toy_translator: Path) -> None:
    """Three graphs share one file, which holds little more than the parameters."""
    _, model = toy_translation_run.open(torch.device("cpu"))
    parameters = 4 * sum(parameter.numel() for parameter in model.parameters())
    positions = 4 * 32 * (48 + 40)
    assert (toy_translator / WEIGHTS).stat().st_size < 1.1 * (parameters + positions)
    assert all((toy_translator / f"{name}.onnx").stat().st_size < 200_000 for name in ("encode", "step", "score"))


def test_step_uses_fused_attention_only(toy_translator: Path) -> None:
    nodes = [node.op_type for node in onnx.load(toy_translator / "step.onnx", load_external_data=False).graph.node]
    assert nodes.count("GroupQueryAttention") == 4  # two layers, self and cross
    assert "Softmax" not in nodes


def test_score_graph_returns_log_probabilities_and_attention(toy_translator: Path) -> None:
    score = Session(read_artifact(toy_translator).graph("score"), threads=1)
    target = np.array([[2, 9, 9, 9], [2, 8, 0, 0]])
    source = SourceFormat.of(score, 0).arrays([[5, 6, 3], [7, 3]])
    found = score.run(source | {"target": target, "label": target})
    assert found["log_probability"].shape == (2, 4)
    assert (found["log_probability"] < 0).all()
    attention = found["cross_attention"]  # (B, L, T, S)
    assert attention.shape == (2, 2, 4, 3)
    np.testing.assert_allclose(attention.sum(-1), 1, rtol=1e-5)
    assert (attention[1, :, :, 2] == 0).all()  # no attention to padding


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_pooling_equals_the_model_and_ignores_padding(pooling: Literal["mean", "first"], tmp_path: Path) -> None:
    """A text gets the same bits alone and in a batch with any longer text."""
    torch.manual_seed(1)
    config = TransformerConfig(width=64, heads=2, kv_heads=2, feed_forward=64, encoder_layers=1, pooling=pooling)
    model = build_classifier(config, 50, labels=20).eval()
    models = {name: to_onnx(spec) for name, spec in transformer.classifier_graphs(model).items()}  # type: ignore
    write_graphs(models, tmp_path)
    session = Session(tmp_path / "classify.onnx", threads=1)
    source = SourceFormat.of(session, 0)
    generator = np.random.default_rng(1)
    texts = [generator.integers(4, 50, size=length).tolist() for length in (1, 2, 5, 13, 30, 61)]
    for i, text in enumerate(texts):
        alone = session.run(source.arrays([text]))["probability"][0]
        with torch.inference_mode():
            expected = model(torch.tensor([text]), torch.tensor([len(text)])).softmax(-1)[0]
        np.testing.assert_allclose(alone, expected.numpy(), atol=1e-5)
        for longer in texts[i:]:
            np.testing.assert_array_equal(session.run(source.arrays([text, longer]))["probability"][0], alone)


def test_graph_that_differs_from_the_model_is_not_published(
    toy_translation_run: RunFolder, export_toy_run: Export, tmp_path: Path
) -> None:
    """The exported attention scales its scores wrongly."""

    def scale(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            if node.op_type == "GroupQueryAttention":
                (factor,) = [attribute for attribute in node.attribute if attribute.name == "scale"]
                factor.f *= 1.5

    with pytest.raises(ParityError, match="differs from the trained model by"):
        export_toy_run(toy_translation_run, tmp_path / "artifact", scale)
    assert list(tmp_path.iterdir()) == []


def test_nan_difference_fails_parity() -> None:
    with pytest.raises(ParityError, match="nan"):
        parity.Differences(1e-4).compare("logits", np.array([np.nan]), np.array([1.0]))


def test_different_greedy_ids_fail_parity(
    toy_translation_run: RunFolder, export_toy_run: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "greedy", lambda model, sources, device: [[4]] * len(sources))
    with pytest.raises(ParityError, match="greedy ids of"):
        export_toy_run(toy_translation_run, tmp_path / "artifact")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_an_artifact_is_not_replaced(
    toy_classification_run: RunFolder, export_toy_run: Export, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ArtifactError, match="is not an artifact"):
        export_toy_run(toy_classification_run, tmp_path / "photos")


@pytest.mark.parametrize("damaged", ["model.safetensors", "tokenizer.json"])
def test_command_line_reports_a_broken_run(
    toy_classification_run: RunFolder,
    tmp_path: Path,
    damaged: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "run"
    shutil.copytree(toy_classification_run.path, broken)
    (broken / damaged).write_bytes(b"neither weights nor words")
    monkeypatch.setattr("sys.argv", ["export", str(broken), str(tmp_path / "new")])
    assert command.main() == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "new").exists()


def test_manifest_is_readable_json(toy_translator: Path) -> None:
    table = json.loads((toy_translator / "manifest.json").read_text("utf-8"))
    assert table["format"] == 3
    assert {"data", "split", "metric", "value", "signature"} >= set(table["evaluation"][0])


def test_model_card_has_both_precisions_in_one_row(toy_translator_int8: Path) -> None:
    manifest = read_artifact(toy_translator_int8).manifest
    card = model_card(manifest, 1, "")
    by_precision = {e.precision: e.value for e in manifest.evaluation if e.split == "gate a-b"}
    assert f"| gate a-b | {by_precision['fp32']:.2f} |" in card
    assert f"| {by_precision['int8']:.2f} |" in card
    assert "- gate: valid.tsv\n" in card
    assert card.count("nrefs:1") == 1


def test_recipe_names_and_artifact_names_follow_the_same_pattern() -> None:
    assert artifact.NAME.pattern == NAME


def test_run_that_has_not_ended_is_rejected(toy_classification_run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(toy_classification_run.path, tmp_path / "run")
    (tmp_path / "run" / "report.json").unlink()
    data = toy_classification_run.path.parent
    with pytest.raises(RecipeError, match="the run has not ended"):
        export_run(RunFolder(tmp_path / "run"), tmp_path / "artifact", data, ExportOptions())
    assert not (tmp_path / "artifact").exists()


def test_parity_sources_fit_the_limit_in_every_direction(toy_translation_run: RunFolder, tmp_path: Path) -> None:
    task, _ = toy_translation_run.open(torch.device("cpu"))
    long = "red " * 60
    write_rows(tmp_path / "valid.tsv", [*[(long, long.replace("red", "rot"))] * 50, ("one dog", "eins Hund")])
    assert len(parity_sources(task, tmp_path, 10)) == 2
    write_rows(tmp_path / "valid.tsv", [(long, long)])
    with pytest.raises(CorpusError, match="no text is within the model's 48 tokens"):
        parity_sources(task, tmp_path, 10)

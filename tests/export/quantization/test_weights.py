"""Export to int8: quantised graphs and caches, smaller files, and the quality gate."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from export import __main__ as command
from export import publish
from export.checks.quality_gate import QualityError, calibrate_on_training_rows, fallback_plans, measure
from export.graphs.onnx_writer import WEIGHTS
from export.graphs.transformer import cache_slices
from export.quantization.calibration import CacheScale, QuantisationPlan
from export.quantization.scales import ACTIVATION_LEVELS, WEIGHT_LEVELS, ActivationScale, quantised_weight
from service.artifact import Manifest, read_artifact
from service.engine.models.decoder import HostDecoder
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.types import EngineRequest
from training.runs.run import RunFolder

Export = Callable[..., Path]


def operators(artifact: Path, graph: str) -> list[str]:
    return [node.op_type for node in onnx.load(artifact / f"{graph}.onnx", load_external_data=False).graph.node]


def gate_values(manifest: Manifest) -> dict[tuple[str, str], float]:
    return {(e.split, e.precision): e.value for e in manifest.evaluation if e.split.startswith("gate")}


def test_manifest_has_the_gate_values_of_both_precisions(toy_translator_int8: Path, toy_classifier_int8: Path) -> None:
    translator, classifier = (read_artifact(path).manifest for path in (toy_translator_int8, toy_classifier_int8))
    assert translator.precision == classifier.precision == "int8"
    assert gate_values(translator).keys() == {
        (f"gate {pair}", precision) for pair in ("a-b", "b-a") for precision in ("fp32", "int8")
    }
    assert gate_values(classifier).keys() == {("gate labels", "fp32"), ("gate labels", "int8")}
    for manifest in (translator, classifier):
        assert all(0 < value <= 100 for value in gate_values(manifest).values())
    measured = [e for e in translator.evaluation if e.split.startswith("gate")]
    assert {(e.data, e.metric) for e in measured} == {("valid.tsv", "bleu")}
    assert all("tok:13a" in e.signature for e in measured)


def test_int8_manifest_has_the_parity_of_fp32(toy_translator: Path, toy_translator_int8: Path) -> None:
    assert read_artifact(toy_translator_int8).manifest.parity == read_artifact(toy_translator).manifest.parity


@pytest.mark.parametrize("name", ["translator", "classifier"])
def test_weights_are_smaller(name: str, request: pytest.FixtureRequest) -> None:
    fp32, int8 = (request.getfixturevalue(f"toy_{name}{suffix}") / WEIGHTS for suffix in ("", "_int8"))
    assert int8.stat().st_size < fp32.stat().st_size


def test_every_linear_layer_is_quantised(toy_translator_int8: Path, toy_classifier_int8: Path) -> None:
    for artifact, graphs in (
        (toy_translator_int8, ["encode", "step", "score"]),
        (toy_classifier_int8, ["classify"]),
    ):
        for graph in graphs:
            found = operators(artifact, graph)
            assert "Gemm" not in found
            assert found.count("MatMulIntegerToFloat") > 2
            # A scale computed from the batch would make rows depend on each other.
            assert "DynamicQuantizeLinear" not in found


def test_int8_probabilities_are_close_to_fp32(toy_classifier: Path, toy_classifier_int8: Path) -> None:
    graphs = [Session(read_artifact(path).graph("classify"), 1) for path in (toy_classifier, toy_classifier_int8)]
    inputs = SourceFormat.of(graphs[0], 0).arrays([[2, 20, 30, 40, 50], [2, 60]])
    exact, near = (graph.run(inputs)["probability"] for graph in graphs)
    assert 0 < np.abs(exact - near).max() < 0.1


def ruined_scale(scale: ActivationScale) -> ActivationScale:
    """Return a range so wide that all activations round to zero."""
    return replace(scale, scale=scale.scale * 1000)


@pytest.fixture
def ruined_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    original = calibrate_on_training_rows

    def wrong(*arguments: Any) -> QuantisationPlan:
        plan = original(*arguments)
        return replace(plan, linears={name: ruined_scale(scale) for name, scale in plan.linears.items()})

    monkeypatch.setattr(publish, "calibrate_on_training_rows", wrong)


@pytest.mark.usefixtures("ruined_calibration")
@pytest.mark.parametrize(("name", "metric"), [("translation", "bleu"), ("classification", "accuracy")])
def test_a_sabotaged_calibration_is_refused(
    name: str, metric: str, export_toy_run: Export, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(f"toy_{name}_run")
    with pytest.raises(QualityError, match=rf"int8 loses [\d.]+ {metric} on .*allowed is 0\.3: publish fp32"):
        export_toy_run(run, tmp_path / "artifact", int8=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("ruined_calibration")
def test_failed_gate_leaves_the_old_artifact_unchanged(
    toy_classification_run: RunFolder, toy_classifier: Path, export_toy_run: Export, tmp_path: Path
) -> None:
    export_toy_run(toy_classification_run, tmp_path / "artifact")
    with pytest.raises(QualityError):
        export_toy_run(toy_classification_run, tmp_path / "artifact", int8=True)
    assert read_artifact(tmp_path / "artifact").manifest == read_artifact(toy_classifier).manifest


@pytest.mark.usefixtures("ruined_calibration")
def test_command_line_reports_the_failed_gate_and_accepts_a_larger_bound(
    toy_classification_run: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = toy_classification_run.path.parent
    arguments = [str(toy_classification_run.path), str(tmp_path / "new"), "--data", str(data), "--int8"]
    monkeypatch.setattr(sys, "argv", ["export", *arguments, "--sentences", "10"])
    assert command.main() == 1
    written = capsys.readouterr()
    assert "error: int8 loses" in written.err
    assert written.out == ""
    monkeypatch.setattr(sys, "argv", ["export", *arguments, "--sentences", "10", "--bound", "100"])
    assert command.main() == 0
    assert "int8: 60 rows held out of training gate labels: accuracy" in capsys.readouterr().out


def test_linear_layer_that_int8_ruins_stays_in_fp32(
    toy_translation_run: RunFolder, export_toy_run: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only plans in which the ruined layer stays in fp32 pass the gate."""
    original, ruined = calibrate_on_training_rows, "model.output.weight"

    def wrong(*arguments: Any) -> QuantisationPlan:
        linears = original(*arguments).linears
        others = {name: scale for name, scale in linears.items() if name != ruined}
        return QuantisationPlan({ruined: ruined_scale(linears[ruined])} | others)

    monkeypatch.setattr(publish, "calibrate_on_training_rows", wrong)
    artifact = export_toy_run(toy_translation_run, tmp_path / "artifact", int8=True, bound=20)
    assert operators(artifact, "step").count("Gemm") >= 1
    assert operators(artifact, "step").count("MatMulIntegerToFloat") > 2


def test_ruined_caches_stay_in_fp32(
    toy_translation_run: RunFolder, export_toy_run: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = calibrate_on_training_rows

    def wrong(*arguments: Any) -> QuantisationPlan:
        plan = original(*arguments)
        caches = {name: replace(cache, scale=cache.scale * 1000) for name, cache in plan.caches.items()}
        return replace(plan, caches=caches)

    monkeypatch.setattr(publish, "calibrate_on_training_rows", wrong)
    artifact = export_toy_run(toy_translation_run, tmp_path / "artifact", int8=True, bound=20)
    assert {state.dtype for state in read_artifact(artifact).manifest.state} == {"float32"}
    assert "Gemm" not in operators(artifact, "step")


def test_fallback_plans_keep_more_and_more_in_fp32() -> None:
    linears = {f"layer {i}": ActivationScale(1.0, i) for i in range(40)}
    caches = {"self_key_0": CacheScale("layer 0", 0, 1, np.ones(1))}
    tried = list(fallback_plans(QuantisationPlan(linears, caches)))
    assert tried[0] == QuantisationPlan(linears, caches)
    assert [len(one.linears) for one in tried] == [40, 40, 36, 30]
    assert all(list(one.linears) == list(linears)[-len(one.linears) :] for one in tried)
    assert not any(one.caches for one in tried[1:])
    assert len(list(fallback_plans(QuantisationPlan(linears)))) == 3
    assert [len(one.linears) for one in fallback_plans(QuantisationPlan({"only": ActivationScale(1.0, 1)}))] == [1, 0]


def test_gate_uses_rows_that_were_not_trained_on(toy_classification_run: RunFolder, toy_classifier_int8: Path) -> None:
    """They are the run's own validation rows, so the accuracy of fp32 is that of the run's report."""
    assert toy_classification_run.recipe().data.hold_out
    report = json.loads(toy_classification_run.report.read_text("utf-8"))
    found = gate_values(read_artifact(toy_classifier_int8).manifest)["gate labels", "fp32"]
    assert found == report["valid"]["labels"]["accuracy"]


@pytest.mark.parametrize("name", ["translation", "classification"])
def test_texts_above_the_limit_count_as_wrong(name: str, request: pytest.FixtureRequest) -> None:
    task, model = request.getfixturevalue(f"toy_{name}_run").open(torch.device("cpu"))
    artifact = read_artifact(request.getfixturevalue("toy_translator" if name == "translation" else "toy_classifier"))
    long = {"translation": ("red " * 60, "rot " * 60), "classification": ("warm", "red " * 600)}[name]
    short = {"translation": ("red dog", "rot Hund"), "classification": ("warm", "red")}[name]
    expected = task.evaluate(model, [long, short], torch.device("cpu"))
    for part, (metric, value, _) in measure(artifact, task, [long, short]).items():
        assert value == expected[part][metric] < 100


def test_int8_caches_take_a_quarter_of_the_memory(toy_translator: Path, toy_translator_int8: Path) -> None:
    fp32, int8 = (read_artifact(path) for path in (toy_translator, toy_translator_int8))
    assert {state.dtype for state in int8.manifest.state} == {"int8"}
    pool_bytes = []
    for artifact in (fp32, int8):
        engine = TranslateEngine(TranslateGraphs.load(artifact, threads=1), rows=2)
        engine.join([EngineRequest([4, 20, 30, 3]), EngineRequest([4, 40, 3])])
        pool_bytes.append(engine.pool_bytes)
    assert pool_bytes[0] == 4 * pool_bytes[1]


def test_int8_caches_are_close_to_fp32_caches(
    toy_translation_run: RunFolder, toy_translator: Path, toy_translator_int8: Path
) -> None:
    """After two steps with the same tokens, each dequantised cache is close to that of fp32."""
    sources = [[4, 20, 30, 40, 50, 3], [5, 60, 3]]
    caches: list[dict[str, np.ndarray]] = []
    for path in (toy_translator, toy_translator_int8):
        engine = TranslateEngine(TranslateGraphs.load(read_artifact(path), threads=1), rows=2)
        engine.join([EngineRequest(ids) for ids in sources])
        for position, token in enumerate([2, 30]):
            engine.token[:2], engine.position[:2] = token, position
            engine.forward()
        assert isinstance(engine.decoder, HostDecoder)
        pool = engine.decoder.pool
        caches.append({state.input: pool.view(state.input) for state in pool.states})
    step = onnx.load(toy_translator_int8 / "step.onnx")
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in step.graph.initializer}
    exact, near = caches
    assert exact.keys() == cache_slices(toy_translation_run.open(torch.device("cpu"))[1]).keys()
    for name, cache in exact.items():
        length = 2 if name.startswith("self") else len(sources[1])  # positions that both rows have
        scale = constants[f"{name}_scale"].reshape(1, cache.shape[1], 1, cache.shape[3])  # (1, K, 1, d)
        difference = np.abs(near[name].astype(np.float32) * scale - cache)[:, :, :length]
        assert difference.mean() < 0.1 * np.abs(cache[:, :, :length]).mean(), name


def test_activation_scale_covers_its_values_and_clips_outliers() -> None:
    values = np.random.default_rng(1).normal(size=20_000)
    scale = ActivationScale.of(values)
    assert abs(scale.zero_point - ACTIVATION_LEVELS / 2) < 20
    assert scale.error(values) <= ActivationScale.of_range(float(values.min()), float(values.max())).error(values)
    assert ActivationScale.of(np.abs(values)).zero_point == 0  # as after a ReLU, which then disappears
    assert ActivationScale.of(np.append(values, 7.0)).scale < ActivationScale.of_range(float(values.min()), 7.0).scale


@pytest.mark.parametrize("values", [[0.0], [-1.0, -1.0], [1e-30, -1e-30]])
def test_activation_scale_of_zeros_and_tiny_values_is_positive(values: list[float]) -> None:
    scale = ActivationScale.of(np.array(values))
    assert scale.scale > 0
    assert 0 <= scale.zero_point <= ACTIVATION_LEVELS


def test_weights_have_seven_bits_and_a_scale_per_column() -> None:
    weight = torch.randn(64, 5, generator=torch.Generator().manual_seed(1)).numpy() * np.array([1, 10, 0.1, 100, 0])
    quantised, scale = quantised_weight(weight.astype(np.float32))
    assert quantised.dtype == np.int8
    assert np.abs(quantised).max() <= WEIGHT_LEVELS
    assert (scale > 0).all()
    peak = np.abs(weight).max(axis=0)
    np.testing.assert_array_less(np.abs(quantised * scale - weight).mean(axis=0), peak / WEIGHT_LEVELS + 1e-9)

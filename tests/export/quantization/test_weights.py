"""int8: both precisions measured, smaller weights, and nothing published that loses more than it may."""

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
from export.checks import quality
from export.checks.quality import QualityError, attempts
from export.graphs.onnx_writer import WEIGHTS
from export.graphs.transformer import cache_origins
from export.quantization.weights import ACTIVATION_LEVELS, WEIGHT_LEVELS, Cache, Scale, Scales, quantised_weight
from service.artifact import Manifest, read_artifact
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs, pad
from service.engine.types import EngineRequest
from training.runs.run import RunFolder

Export = Callable[..., Path]


def operators(artifact: Path, graph: str) -> list[str]:
    return [node.op_type for node in onnx.load(artifact / f"{graph}.onnx", load_external_data=False).graph.node]


def figures(manifest: Manifest) -> dict[tuple[str, str], float]:
    return {(e.split, e.precision): e.value for e in manifest.evaluation if e.split.startswith("gate")}


def test_the_manifest_tells_both_precisions(toy_translator_int8: Path, toy_classifier_int8: Path) -> None:
    translator, classifier = (read_artifact(path).manifest for path in (toy_translator_int8, toy_classifier_int8))
    assert translator.precision == classifier.precision == "int8"
    assert figures(translator).keys() == {
        (f"gate {pair}", precision) for pair in ("a-b", "b-a") for precision in ("fp32", "int8")
    }
    assert figures(classifier).keys() == {("gate labels", "fp32"), ("gate labels", "int8")}
    for manifest in (translator, classifier):
        assert all(0 < value <= 100 for value in figures(manifest).values())
    measured = [e for e in translator.evaluation if e.split.startswith("gate")]
    assert {(e.data, e.metric) for e in measured} == {("valid.tsv", "bleu")}
    assert all("tok:13a" in e.signature for e in measured)


def test_the_parity_that_is_told_is_that_of_fp32(toy_translator: Path, toy_translator_int8: Path) -> None:
    assert read_artifact(toy_translator_int8).manifest.parity == read_artifact(toy_translator).manifest.parity


@pytest.mark.parametrize("name", ["translator", "classifier"])
def test_weights_are_smaller(name: str, request: pytest.FixtureRequest) -> None:
    fp32, int8 = (request.getfixturevalue(f"toy_{name}{suffix}") / WEIGHTS for suffix in ("", "_int8"))
    assert int8.stat().st_size < fp32.stat().st_size


def test_every_linear_map_is_quantised(toy_translator_int8: Path, toy_classifier_int8: Path) -> None:
    for artifact, graphs in (
        (toy_translator_int8, ["encode", "step", "score"]),
        (toy_classifier_int8, ["classify"]),
    ):
        for graph in graphs:
            found = operators(artifact, graph)
            assert "Gemm" not in found
            assert found.count("MatMulIntegerToFloat") > 2
            assert "DynamicQuantizeLinear" not in found  # a scale made of the batch would tie rows together


def test_int8_is_near_fp32(toy_classifier: Path, toy_classifier_int8: Path) -> None:
    inputs = pad([[2, 20, 30, 40, 50], [2, 60]], 0)
    exact, near = (
        Session(read_artifact(path).graph("classify"), threads=1).run(inputs)["probability"]
        for path in (toy_classifier, toy_classifier_int8)
    )
    assert 0 < np.abs(exact - near).max() < 0.1


def sabotaged(scale: Scale) -> Scale:
    """A range so wide that nothing of an activation is left."""
    return replace(scale, scale=scale.scale * 1000)


@pytest.fixture
def sabotage(monkeypatch: pytest.MonkeyPatch) -> None:
    right = quality.calibrate

    def wrong(*arguments: Any) -> Scales:
        scales = right(*arguments)
        return replace(scales, maps={name: sabotaged(scale) for name, scale in scales.maps.items()})

    monkeypatch.setattr(quality, "calibrate", wrong)


@pytest.mark.usefixtures("sabotage")
@pytest.mark.parametrize(("name", "metric"), [("translation", "bleu"), ("classification", "accuracy")])
def test_a_sabotaged_calibration_is_refused(
    name: str, metric: str, export_run: Export, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(f"toy_{name}_run")
    with pytest.raises(QualityError, match=rf"int8 loses [\d.]+ {metric} on .*allowed is 0\.3: publish fp32"):
        export_run(run, tmp_path / "artifact", int8=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("sabotage")
def test_a_refusal_leaves_the_old_artifact_as_it_was(
    toy_classification_run: RunFolder, toy_classifier: Path, export_run: Export, tmp_path: Path
) -> None:
    export_run(toy_classification_run, tmp_path / "artifact")
    with pytest.raises(QualityError):
        export_run(toy_classification_run, tmp_path / "artifact", int8=True)
    assert read_artifact(tmp_path / "artifact").manifest == read_artifact(toy_classifier).manifest


@pytest.mark.usefixtures("sabotage")
def test_the_command_line_says_why(
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


def test_what_int8_hurts_most_stays_in_fp32_before_the_gate_gives_up(
    toy_translation_run: RunFolder, export_run: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One map is ruined: the attempts in which it stays in fp32 pass."""
    right, ruined = quality.calibrate, "model.output.weight"

    def wrong(*arguments: Any) -> Scales:
        maps = right(*arguments).maps
        return Scales({ruined: sabotaged(maps[ruined])} | {n: s for n, s in maps.items() if n != ruined})

    monkeypatch.setattr(quality, "calibrate", wrong)
    artifact = export_run(toy_translation_run, tmp_path / "artifact", int8=True, bound=20)
    assert operators(artifact, "step").count("Gemm") >= 1
    assert operators(artifact, "step").count("MatMulIntegerToFloat") > 2


def test_ruined_caches_stay_in_fp32(
    toy_translation_run: RunFolder, export_run: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = quality.calibrate

    def wrong(*arguments: Any) -> Scales:
        scales = right(*arguments)
        caches = {name: replace(cache, scale=cache.scale * 1000) for name, cache in scales.caches.items()}
        return replace(scales, caches=caches)

    monkeypatch.setattr(quality, "calibrate", wrong)
    artifact = export_run(toy_translation_run, tmp_path / "artifact", int8=True, bound=20)
    assert {state.dtype for state in read_artifact(artifact).manifest.state} == {"float32"}
    assert "Gemm" not in operators(artifact, "step")


def test_attempts_leave_out_more_and_more() -> None:
    maps = {f"map {i}": Scale(1.0, i) for i in range(40)}
    caches = {"self_key_0": Cache("map 0", 0, 1, np.ones(1))}
    tried = list(attempts(Scales(maps, caches)))
    assert tried[0] == Scales(maps, caches)
    assert [len(one.maps) for one in tried] == [40, 40, 36, 30]
    assert all(list(one.maps) == list(maps)[-len(one.maps) :] for one in tried)
    assert not any(one.caches for one in tried[1:])
    assert len(list(attempts(Scales(maps)))) == 3
    assert [len(one.maps) for one in attempts(Scales({"only": Scale(1.0, 1)}))] == [1, 0]


def test_the_gate_measures_rows_that_were_not_trained_on(
    toy_classification_run: RunFolder, toy_classifier_int8: Path
) -> None:
    """They are the run's own validation rows, so the figure of fp32 is the run's."""
    assert toy_classification_run.recipe().data.hold_out
    report = json.loads(toy_classification_run.report.read_text("utf-8"))
    found = figures(read_artifact(toy_classifier_int8).manifest)["gate labels", "fp32"]
    assert found == report["valid"]["labels"]["accuracy"]


@pytest.mark.parametrize("name", ["translation", "classification"])
def test_texts_above_the_limit_count_as_the_service_has_them(name: str, request: pytest.FixtureRequest) -> None:
    task, model = request.getfixturevalue(f"toy_{name}_run").open(torch.device("cpu"))
    artifact = read_artifact(request.getfixturevalue("toy_translator" if name == "translation" else "toy_classifier"))
    long = {"translation": ("red " * 60, "rot " * 60), "classification": ("warm", "red " * 600)}[name]
    short = {"translation": ("red dog", "rot Hund"), "classification": ("warm", "red")}[name]
    expected = task.evaluate(model, [long, short], torch.device("cpu"))
    for part, (metric, value, _) in quality._figures(artifact, task, [long, short]).items():
        assert value == expected[part][metric] < 100


def test_caches_are_int8_and_fill_a_quarter_of_the_memory(toy_translator: Path, toy_translator_int8: Path) -> None:
    fp32, int8 = (read_artifact(path) for path in (toy_translator, toy_translator_int8))
    assert {state.dtype for state in int8.manifest.state} == {"int8"}
    held = []
    for artifact in (fp32, int8):
        engine = TranslateEngine(TranslateGraphs.load(artifact, threads=1), rows=2)
        engine.join([EngineRequest([4, 20, 30, 3]), EngineRequest([4, 40, 3])])
        held.append(engine.pool_bytes)
    assert held[0] == 4 * held[1]


def test_int8_caches_hold_what_fp32_caches_hold(
    toy_translation_run: RunFolder, toy_translator: Path, toy_translator_int8: Path
) -> None:
    """After two steps, of the same tokens, every cache is near that of fp32, by the scales in the graphs."""
    sources = [[4, 20, 30, 40, 50, 3], [5, 60, 3]]
    caches: list[dict[str, np.ndarray]] = []
    for path in (toy_translator, toy_translator_int8):
        engine = TranslateEngine(TranslateGraphs.load(read_artifact(path), threads=1), rows=2)
        engine.join([EngineRequest(ids) for ids in sources])
        for position, token in enumerate([2, 30]):
            engine.token[:2], engine.position[:2] = token, position
            engine.forward()
        caches.append({state.input: engine.pool.view(state.input) for state in engine.pool.states})
    step = onnx.load(toy_translator_int8 / "step.onnx")
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in step.graph.initializer}
    exact, near = caches
    assert exact.keys() == cache_origins(toy_translation_run.open(torch.device("cpu"))[1]).keys()
    for name, cache in exact.items():
        length = 2 if name.startswith("self") else len(sources[1])  # positions that both rows have
        scale = constants[f"{name}_scale"].reshape(1, cache.shape[1], 1, cache.shape[3])  # (1, K, 1, d)
        difference = np.abs(near[name].astype(np.float32) * scale - cache)[:, :, :length]
        assert difference.mean() < 0.1 * np.abs(cache[:, :, :length]).mean(), name


def test_a_scale_covers_its_values_and_cuts_what_is_rare() -> None:
    values = np.random.default_rng(1).normal(size=20_000)
    scale = Scale.of(values)
    assert abs(scale.zero_point - ACTIVATION_LEVELS / 2) < 20
    assert scale.error(values) <= Scale.of_range(float(values.min()), float(values.max())).error(values)
    assert Scale.of(np.abs(values)).zero_point == 0  # a ReLU needs no zero point, and disappears into the scale
    assert Scale.of(np.append(values, 7.0)).scale < Scale.of_range(float(values.min()), 7.0).scale


@pytest.mark.parametrize("values", [[0.0], [-1.0, -1.0], [1e-30, -1e-30]])
def test_a_scale_of_hardly_anything_is_still_a_scale(values: list[float]) -> None:
    scale = Scale.of(np.array(values))
    assert scale.scale > 0
    assert 0 <= scale.zero_point <= ACTIVATION_LEVELS


def test_weights_have_seven_bits_and_a_scale_for_each_column() -> None:
    weight = torch.randn(64, 5, generator=torch.Generator().manual_seed(1)).numpy() * np.array([1, 10, 0.1, 100, 0])
    quantised, scale = quantised_weight(weight.astype(np.float32))
    assert quantised.dtype == np.int8
    assert np.abs(quantised).max() <= WEIGHT_LEVELS
    assert (scale > 0).all()
    peak = np.abs(weight).max(axis=0)
    np.testing.assert_array_less(np.abs(quantised * scale - weight).mean(axis=0), peak / WEIGHT_LEVELS + 1e-9)

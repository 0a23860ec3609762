"""Export a run: write its graphs, check them, describe them, and publish the artifact, all or nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch
from onnx import ModelProto
from torch import nn

from export.checks import half, parity
from export.checks.quality_gate import (
    QUALITY_BOUND,
    QualityError,
    calibrate_on_training_rows,
    check_quality,
    fallback_plans,
)
from export.graphs import ngrams, recurrent, transformer
from export.graphs.onnx_writer import to_onnx, write_graphs
from export.graphs.spec import GraphSpec
from export.graphs.topk import select_graph
from export.manifest import build_manifest
from export.model_card import model_card
from export.quantization.calibration import QuantisationPlan
from export.quantization.half import to_half
from export.quantization.kv_cache import quantise_caches
from export.quantization.weights import quantise_weights
from service.artifact import Artifact, Evaluation, Manifest, publish, read_artifact, sha256, write_manifest
from training.models.classifier import Classifier
from training.models.ngrams import NgramClassifier
from training.models.recurrent import RecurrentClassifier, RecurrentTranslator
from training.models.transformer import Transformer
from training.runs.run import RunFolder
from training.tasks import Task, TranslateTask

GRAPH_BUILDERS: dict[type[nn.Module], Callable[[Any], dict[str, GraphSpec]]] = {
    Transformer: transformer.translator_graphs,
    Classifier: transformer.classifier_graphs,
    RecurrentTranslator: recurrent.translator_graphs,
    RecurrentClassifier: recurrent.classifier_graphs,
    NgramClassifier: ngrams.classifier_graphs,
}


@dataclass(frozen=True)
class ExportOptions:
    """How to export a run."""

    version: str = "1"
    sentences: int = 500  # for the parity check
    tolerance: float = 1e-4  # of the parity check
    int8: bool = False
    notes: str = ""  # Markdown for the end of the model card
    bound: float = QUALITY_BOUND  # how much int8 may lose on development rows, in BLEU or points of accuracy
    name: str = ""  # of the artifact; default: the recipe's
    fp16: bool = False


def export_run(run: RunFolder, path: Path, data: Path, options: ExportOptions) -> Manifest:
    """Write the artifact of a run to `path`; nothing is published if a check fails.

    Raises:
        ArtifactError, CheckpointError, CorpusError, RecipeError: an input cannot be used.
        ParityError: the graphs differ from the trained model, or answers in fp16 from those in fp32.
        QualityError: int8 or fp16 loses more than its bound.
    """
    task, model = run.open(torch.device("cpu"))
    sources = parity.parity_sources(task, data, options.sentences)
    specs = GRAPH_BUILDERS[type(model)](model)
    state_kinds = specs["step"].state_kinds if "step" in specs else {}
    writer = ArtifactWriter(task, run, state_kinds, options.name or task.recipe.name, options.version)
    with publish(path) as folder, TemporaryDirectory() as scratch:
        models = {name: to_onnx(spec) for name, spec in specs.items()}
        fp32_folder = Path(scratch) if options.int8 or options.fp16 else folder
        manifest = writer.write(models, fp32_folder)
        fp32 = Artifact(fp32_folder, manifest)
        verify = parity.verify_translator if isinstance(task, TranslateTask) else parity.verify_classifier
        parity_result = verify(model, fp32, sources, options.tolerance)  # type: ignore[arg-type]
        if options.int8:
            plan = calibrate_on_training_rows(task, model, data)
            manifest = write_int8(
                models, plan, writer, folder, lambda int8: check_quality(fp32, int8, task, data, options.bound)
            )
        if options.fp16:
            manifest = write_half(models, state_kinds, writer, folder)
            fp16 = Artifact(folder, manifest)
            half.check_answers(fp32, fp16, sources)
            evaluations = check_quality(fp32, fp16, task, data, half.QUALITY_BOUND)
            manifest = manifest.model_copy(update={"evaluation": [*manifest.evaluation, *evaluations]})
        manifest = manifest.model_copy(update={"parity": parity_result})
        return complete(folder, manifest, lambda size: model_card(manifest, size, options.notes))


def complete(folder: Path, manifest: Manifest, card: Callable[[int], str]) -> Manifest:
    """Write the model card and the manifest of an artifact that has all other files; return the whole manifest.

    `card` gets the size of these files in bytes.

    Raises:
        ArtifactError: the service could not read the artifact.
    """
    size = sum(file.stat().st_size for file in folder.iterdir())
    (folder / "MODEL_CARD.md").write_text(card(size), "utf-8")
    files = manifest.files | {"MODEL_CARD.md": sha256(folder / "MODEL_CARD.md")}
    manifest = manifest.model_copy(update={"files": files})
    write_manifest(folder, manifest)
    read_artifact(folder)  # as the service will
    return manifest


@dataclass(frozen=True)
class ArtifactWriter:
    """Writes the files of an artifact except model card and manifest, and returns the manifest."""

    task: Task
    run: RunFolder
    state_kinds: dict[str, str]
    name: str
    version: str

    def write(self, models: dict[str, ModelProto], folder: Path) -> Manifest:
        models = dict(models)
        if "step" in models:
            vocabulary = models["step"].graph.output[0].type.tensor_type.shape.dim[1].dim_value
            models["select"] = select_graph(int(vocabulary))
        graphs = write_graphs(models, folder)
        self.task.codec.save(folder / "tokenizer.json")
        return build_manifest(self.task, self.run, folder, graphs, self.state_kinds, self.name, self.version)


class Writer(Protocol):
    """Writes the files of an artifact except model card and manifest, and returns the manifest."""

    def write(self, models: dict[str, ModelProto], folder: Path) -> Manifest: ...


def write_half(models: dict[str, ModelProto], state_kinds: dict[str, str], writer: Writer, folder: Path) -> Manifest:
    """Write the artifact in fp16."""
    states = {*state_kinds, *(f"{name}_out" for name in state_kinds)}
    graphs = {name: to_half(model, states) for name, model in models.items()}
    return writer.write(graphs, folder).model_copy(update={"precision": "fp16"})


def write_int8(
    models: dict[str, ModelProto],
    plan: QuantisationPlan,
    writer: Writer,
    folder: Path,
    check: Callable[[Artifact], list[Evaluation]],
) -> Manifest:
    """Write the first int8 variant that passes the quality check.

    Raises:
        QualityError: none passes; the error is that of the last one.
    """
    failure: QualityError | None = None
    for variant in fallback_plans(plan):
        int8 = {
            name: quantise_weights(quantise_caches(model, variant.caches), variant) for name, model in models.items()
        }
        manifest = writer.write(int8, folder).model_copy(update={"precision": "int8"})
        try:
            evaluations = check(Artifact(folder, manifest))
        except QualityError as error:
            failure = error
            continue
        return manifest.model_copy(update={"evaluation": [*manifest.evaluation, *evaluations]})
    assert failure is not None
    raise failure

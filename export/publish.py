"""A run folder becomes an artifact: graphs, proof, manifest, model card, all or nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import nn

from export.checks import parity
from export.checks.quality import BOUND, QualityError, attempts, calibrated, compare, validation
from export.graphs import ngrams, recurrent, transformer
from export.graphs.onnx_writer import WEIGHTS, to_onnx, write_graphs
from export.graphs.topk import select_graph
from export.graphs.transformer import GraphSource
from export.model_card import model_card
from export.quantization.kv_cache import quantise_caches
from export.quantization.weights import Scales, quantise
from service.artifact import (
    FORMAT,
    GRAPHS,
    Artifact,
    Direction,
    Evaluation,
    Graph,
    Limits,
    Manifest,
    Parity,
    Provenance,
    SpecialTokens,
    State,
    publish,
    read_artifact,
    sha256,
    write_manifest,
)
from training.config import Recipe, RecipeError, recipe_table
from training.data.corpus import CorpusError, FilterReport, Row, clean, read_corpus
from training.data.tokenizer import BOS, EOS, PAD, UNK
from training.models.classifier import Classifier
from training.models.ngrams import NgramClassifier
from training.models.recurrent import RecurrentClassifier, RecurrentTranslator
from training.models.transformer import Transformer
from training.runs.run import RunFolder
from training.tasks import ClassifyTask, Task, TranslateTask

GRAPHS_OF: dict[type[nn.Module], Callable[[Any], dict[str, GraphSource]]] = {
    Transformer: transformer.translator_graphs,
    Classifier: transformer.classifier_graphs,
    RecurrentTranslator: recurrent.translator_graphs,
    RecurrentClassifier: recurrent.classifier_graphs,
    NgramClassifier: ngrams.classifier_graphs,
}


@dataclass(frozen=True)
class ExportOptions:
    """How to export."""

    version: str = "1"
    sentences: int = 500  # to prove parity on
    tolerance: float = 1e-4
    int8: bool = False
    notes: str = ""  # Markdown for the end of the model card
    bound: float = BOUND  # what int8 may lose on the development rows, in BLEU or points of accuracy


def export(run: RunFolder, path: Path, data: Path, options: ExportOptions) -> Manifest:
    """Write the artifact of a run to `path`.

    Raises:
        ArtifactError, CheckpointError, CorpusError, RecipeError: something given cannot be used.
        ParityError: the graphs differ from the trained model; nothing is published.
        QualityError: int8 loses more than the bound; nothing is published.
    """
    task, model = run.open(torch.device("cpu"))
    sources = proof_sources(task, data, options.sentences)
    sourced = GRAPHS_OF[type(model)](model)
    kinds = sourced["step"].kinds if "step" in sourced else {}
    writer = Writer(task, run, kinds, options)
    with publish(path) as folder, TemporaryDirectory() as scratch:
        models = {name: to_onnx(source) for name, source in sourced.items()}
        original = Path(scratch) if options.int8 else folder
        manifest = writer.write(models, original)
        prove = parity.verify_translator if isinstance(task, TranslateTask) else parity.verify_classifier
        proof = prove(model, Artifact(original, manifest), sources, options.tolerance)  # type: ignore[arg-type]
        if options.int8:
            scales = calibrated(task, model, data)
            manifest = _quantised(Artifact(original, manifest), folder, models, scales, writer, data)
        manifest = manifest.model_copy(update={"parity": proof})
        size = sum(file.stat().st_size for file in folder.iterdir())
        (folder / "MODEL_CARD.md").write_text(model_card(manifest, size, options.notes), "utf-8")
        files = manifest.files | {"MODEL_CARD.md": sha256(folder / "MODEL_CARD.md")}
        manifest = manifest.model_copy(update={"files": files})
        write_manifest(folder, manifest)
        read_artifact(folder)  # as the service will
    return manifest


def _quantised(
    proven: Artifact,
    folder: Path,
    models: dict[str, ModelProto],
    scales: Scales,
    writer: "Writer",
    data: Path,
) -> Manifest:
    """The first attempt at int8 that passes the gate; the last one's refusal otherwise."""
    refusal: QualityError | None = None
    for chosen in attempts(scales):
        made = {name: quantise(quantise_caches(one, chosen.caches), chosen) for name, one in models.items()}
        manifest = writer.write(made, folder)
        manifest = manifest.model_copy(update={"precision": "int8"})
        try:
            measured = compare(proven, Artifact(folder, manifest), writer.task, data, writer.options.bound)
        except QualityError as error:
            refusal = error
            continue
        return manifest.model_copy(update={"evaluation": [*manifest.evaluation, *measured]})
    assert refusal is not None
    raise refusal


@dataclass(frozen=True)
class Writer:
    """Writes the files of an artifact, all but the model card and the manifest, which it returns."""

    task: Task
    run: RunFolder
    kinds: dict[str, str]
    options: ExportOptions

    def write(self, models: dict[str, ModelProto], folder: Path) -> Manifest:
        models = dict(models)
        if "step" in models:
            models["select"] = select_graph(int(models["step"].graph.output[0].type.tensor_type.shape.dim[1].dim_value))
        described = write_graphs(models, folder)
        self.task.codec.save(folder / "tokenizer.json")
        return describe(self.task, self.run, folder, described, self.kinds, self.options)


def proof_sources(task: Task, data: Path, count: int) -> list[list[int]]:
    """Up to `count` sources with marks, of all directions alike, from validation, test or training rows.

    Raises:
        CorpusError: none of them is within the model's limit.
    """
    files = task.recipe.data.valid or task.recipe.data.test or task.recipe.data.train
    rows = clean(read_corpus(files, task.recipe.data.columns, data), FilterReport())
    order = np.random.default_rng(task.recipe.seed).permutation(len(rows))
    chosen = [rows[i] for i in order]
    limit, found = task.recipe.model.max_source_length, list[list[int]]()
    directions = _sources(task, chosen)
    for sources in directions:
        fitting = [ids for ids in sources if len(ids) <= limit]
        found += fitting[: -(-count // len(directions))]
    if not found:
        raise CorpusError(f"{' '.join(files)}: no text is within the model's {limit} tokens to prove parity on")
    return found[:count]


def _sources(task: Task, rows: list[Row]) -> list[list[list[int]]]:
    """Every row's, direction by direction."""
    if isinstance(task, ClassifyTask):
        return [task.source_ids([row[task.recipe.data.columns.index("text")] for row in rows])]
    return [task.source_ids(task.oriented(rows, source, target)[0], target) for source, target in task.recipe.pairs]


def describe(
    task: Task, run: RunFolder, folder: Path, graphs: dict[str, Graph], kinds: dict[str, str], options: ExportOptions
) -> Manifest:
    """The manifest, with a parity that remains to be proven."""
    recipe = task.recipe
    assert set(graphs) == set(GRAPHS[recipe.task])
    names = ["tokenizer.json", WEIGHTS, *(graph.file for graph in graphs.values())]
    step = {tensor.name: tensor for tensor in graphs["step"].inputs} if kinds else {}
    return Manifest(
        format=FORMAT,
        name=recipe.name,
        version=options.version,
        task=recipe.task,
        directions=_directions(task) if isinstance(task, TranslateTask) else [],
        labels=task.labels if isinstance(task, ClassifyTask) else [],
        files={name: sha256(folder / name) for name in names},
        special_tokens=SpecialTokens(pad=PAD, unk=UNK, bos=BOS, eos=EOS),
        limits=Limits(source_length=recipe.model.max_source_length, target_length=recipe.model.max_target_length),
        graphs=graphs,
        state=[
            State(input=name, output=f"{name}_out", dtype=step[name].dtype, shape=step[name].shape, kind=kind)  # type: ignore[arg-type]
            for name, kind in kinds.items()
        ],
        precision="fp32",
        evaluation=evaluations(recipe, run),
        parity=Parity(sentences=0, cached=0.0, onnx=0.0, tolerance=options.tolerance),
        provenance=Provenance(description=recipe.description, recipe=recipe_table(recipe), licence=recipe.licence),
    )


def _directions(task: TranslateTask) -> list[Direction]:
    return [
        Direction(source=source, target=target, prefix=task.source_ids([""], target)[0][: int(task.recipe.tagged)])
        for source, target in task.recipe.pairs
    ]


def evaluations(recipe: Recipe, run: RunFolder) -> list[Evaluation]:
    """The figures of the run's report. Greedy answers being identical, they are the artifact's too."""
    if not run.report.is_file():
        raise RecipeError(f"{run.path}: the run has not ended (no {run.report.name}); go on with fit --resume")
    report = json.loads(run.report.read_text("utf-8"))
    found = []
    for split in ("valid", "test"):
        files = recipe.data.test if split == "test" else validation(recipe)
        for part, figures in report.get(split, {}).items():
            signature = str(figures.get("signature", ""))
            found += [
                Evaluation(
                    data=" ".join(files), split=f"{split} {part}", metric=metric, value=value,
                    signature=signature if metric == "bleu" else "",
                )
                for metric, value in figures.items()
                if metric != "signature"
            ]  # fmt: skip
    return found
